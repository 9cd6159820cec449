// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Hooks of the fentry backend: BPF trampolines at the entry and the return of functions. Those that are called with the
 * socket locked are in files of their own in the kernel, so that no compiler can have made them a part of their caller, as
 * it may with tcp_sendmsg_locked.
 */
#include "bpf/exec.bpf.h"
#include "bpf/function.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("fentry/tcp_sendmsg")
int BPF_PROG(fentry_send, struct sock *sk, struct msghdr *msg, unsigned long size)
{
	return send_entered(sk, size);
}

/* tcp_sendmsg and tcp_sendpage call it as soon as they have the lock. */
SEC("fentry/tcp_rate_check_app_limited")
int BPF_PROG(fentry_locked, struct sock *sk)
{
	return send_locked(sk);
}

SEC("fexit/sk_stream_wait_connect")
int BPF_PROG(fexit_connect, struct sock *sk)
{
	return send_locked(sk);
}

SEC("fentry/sk_stream_wait_memory")
int BPF_PROG(fentry_wait, struct sock *sk)
{
	return send_waits(sk);
}

SEC("fexit/sk_stream_wait_memory")
int BPF_PROG(fexit_wait, struct sock *sk)
{
	return send_locked(sk);
}

SEC("fexit/tcp_sendmsg")
int BPF_PROG(fexit_send, struct sock *sk, struct msghdr *msg, unsigned long size, int result)
{
	return send_left(sk, result);
}

/* sendfile and splice before Linux 6.5: a page a call. */
SEC("fentry/tcp_sendpage")
int BPF_PROG(fentry_page, struct sock *sk, void *page, int offset, unsigned long size)
{
	return send_entered(sk, size);
}

SEC("fexit/tcp_sendpage")
int BPF_PROG(fexit_page, struct sock *sk, void *page, int offset, unsigned long size, int flags, int result)
{
	return send_left(sk, result);
}

/* Its arguments are not the same in all kernels. */
SEC("fexit/tcp_recvmsg")
int BPF_PROG(fexit_receive, struct sock *sk)
{
	__u64 flags = 0, result = 0;

	bpf_get_func_arg(ctx, recv_flags_at, &flags);
	bpf_get_func_ret(ctx, &result);
	return receive_returned(sk, result, flags);
}

/* udpv6_sendmsg hands what goes to IPv4 on to it: that is told by udpv6_sendmsg. */
SEC("fexit/udp_sendmsg")
int BPF_PROG(fexit_udp_send, struct sock *sk, struct msghdr *msg, unsigned long size, int result)
{
	return sk->__sk_common.skc_family == AF_INET ? other_sent(sk, result) : 0;
}

SEC("fexit/udpv6_sendmsg")
int BPF_PROG(fexit_udp6_send, struct sock *sk, struct msghdr *msg, unsigned long size, int result)
{
	return other_sent(sk, result);
}

static __always_inline int udp_received(unsigned long long *ctx, struct sock *sk)
{
	__u64 flags = 0, result = 0;

	bpf_get_func_arg(ctx, recv_flags_at, &flags);
	bpf_get_func_ret(ctx, &result);
	return other_taken(sk, result, flags);
}

SEC("fexit/udp_recvmsg")
int BPF_PROG(fexit_udp_recv, struct sock *sk)
{
	return udp_received(ctx, sk);
}

SEC("fexit/udpv6_recvmsg")
int BPF_PROG(fexit_udp6_recv, struct sock *sk)
{
	return udp_received(ctx, sk);
}

SEC("fexit/unix_stream_sendmsg")
int BPF_PROG(fexit_unix_send, struct socket *socket, struct msghdr *msg, unsigned long size, int result)
{
	return other_sent(socket->sk, result);
}

SEC("fexit/unix_stream_recvmsg")
int BPF_PROG(fexit_unix_recv, struct socket *socket, struct msghdr *msg, unsigned long size, int flags, int result)
{
	return other_taken(socket->sk, result, flags);
}

/* Only where there is no tracepoint sched_prepare_exec. */
SEC("fentry/begin_new_exec")
int BPF_PROG(fentry_exec)
{
	return exec_prepared(bpf_get_current_task_btf());
}
