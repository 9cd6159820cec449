/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sockets behind files and descriptors, read without a reference: only for looking. What is found is a number that may be
 * compared and peeked at, never a socket that a helper takes.
 */
#ifndef BPF_FILE_BPF_H
#define BPF_FILE_BPF_H

#include "bpf/order.bpf.h"

/* NULL: no socket. */
static __always_inline struct sock *file_sock(struct file *file)
{
	struct socket *socket;

	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

static __always_inline int sock_is_tcp(struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return (family == AF_INET || family == AF_INET6) && BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP;
}

static __always_inline int sock_is_local(struct sock *sk)
{
	return transports & TRACE_UNIX && BPF_CORE_READ(sk, __sk_common.skc_family) == AF_UNIX &&
	       BPF_CORE_READ(sk, sk_type) == SOCK_STREAM;
}

/* The same for a descriptor of that task. */
static __always_inline struct sock *fd_sock(struct task_struct *task, int fd)
{
	struct fdtable *fdt = BPF_CORE_READ(task, files, fdt);
	struct file **slot = BPF_CORE_READ(fdt, fd), *file = 0;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(fdt, max_fds))
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), slot + fd);
	return file_sock(file);
}

/* Box of its network namespace, 0: not in scope. */
static __always_inline __u32 fd_box(struct sock *sk)
{
	__u64 cookie = BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie);
	__u32 *box = bpf_map_lookup_elem(&boxes, &cookie);

	return box ? *box : 0;
}

static __always_inline __u64 fd_cookie(struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
}

#endif
