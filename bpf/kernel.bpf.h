/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The few kernel structures that we read, each with only the members that we read. Offsets are
 * filled in when the object is loaded (CO-RE), so nothing here has to match the layout of any
 * kernel: only names and kinds of members do. Constants are those that the kernel does not export
 * to user space.
 */
#ifndef BPF_KERNEL_BPF_H
#define BPF_KERNEL_BPF_H

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	__s64 counter;
} atomic64_t;

struct in6_addr {
	union {
		__be32 u6_addr32[4];
	} in6_u;
};

struct net {
	__u64 net_cookie;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
	unsigned long skc_flags;
};

struct socket;

struct sk_buff_head {
	__u32 qlen;
};

struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	int sk_err;
	struct socket *sk_socket; /* NULL: nobody has accepted it, or it was closed */
	void *sk_bpf_storage;
	__u16 sk_protocol;
	__u16 sk_type;
	__u8 sk_shutdown;
	__u8 sk_userlocks;
};

struct inet_sock {
	__be16 inet_sport;
};

struct tcp_sock {
	__u32 write_seq;
	__u32 snd_una;
	__u32 copied_seq;
	__u32 rcv_nxt;
	__u32 urg_seq;
	__u32 snd_nxt;
	__u64 bytes_acked;
	__u64 bytes_received;
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u32 snd_sml; /* before anything but a SYN was sent: the connector's ISN */
};

struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[0];
};

struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};

struct iov_iter {
	unsigned long count;
};

struct msghdr {
	struct iov_iter msg_iter;
};

struct sk_buff;

struct pipe_inode_info {
	unsigned int head, tail;
};

struct super_block {
	unsigned int s_dev;
	unsigned long s_magic;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct qstr d_name;
};

struct path {
	struct dentry *dentry;
};

struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
	struct pipe_inode_info *i_pipe;
	unsigned long i_ino;
};

struct file {
	struct inode *f_inode;
	struct path f_path;
	void *private_data;
};

struct socket {
	struct file *file;
	struct sock *sk;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct signal_struct {
	atomic_t live;
	int group_exit_code;
	unsigned int flags;
};

struct task_struct {
	unsigned int flags;
	int exit_code;
	int pid;
	int tgid;
	__u64 start_time;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	char comm[16];
	struct files_struct *files;
	struct signal_struct *signal;
	void *worker_private;
	void *bpf_storage;
};

/* io_uring: what a thread of the kernel is working on, a request, a result. */
struct io_wq_work {
	int cancel_seq;
};

struct io_worker {
	struct io_wq_work *cur_work;
};

struct io_ring_ctx;

struct io_kiocb {
	struct file *file;
	__u8 opcode;
	struct io_wq_work work;
};

struct io_accept {
	__u32 file_slot; /* 0: the socket becomes a descriptor */
};

struct io_uring_cqe {
	__s32 res;
};

struct linux_binprm {
	const char *filename;
};

/*
 * The members of both architectures: a member that is not there is only an error where it is read.
 */
struct pt_regs {
	unsigned long di, si, dx, cx, r8, r10, ax, orig_ax; /* x86-64 */
	__u64 regs[31];				/* arm64 */
	__u64 orig_x0;
	__s32 syscallno;
};

#pragma clang attribute pop

/* The code for it lies behind the rest, which so stays together in the processor's cache. */
#define seldom(condition) __builtin_expect(!!(condition), 0)

/*
 * Reading what belongs to a socket. Tracepoints and trampolines hand over pointers whose type the verifier knows: they
 * are simply followed. Kprobes hand over numbers: each member costs a call. A file of kprobes defines HOOK_UNTYPED
 * before it includes anything, and so gets its own copy of the same bodies.
 */
#ifdef HOOK_UNTYPED
#define peek(from, member) BPF_CORE_READ(from, member)
#define sock_tcp(sk) ((struct tcp_sock *)(sk))
#else
#define peek(from, member) ((from)->member)
#define sock_tcp(sk) ((struct tcp_sock *)bpf_skc_to_tcp_sock(sk))
#endif

enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_FIN_WAIT1,
	TCP_FIN_WAIT2,
	TCP_TIME_WAIT,
	TCP_CLOSE,
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,
	TCP_CLOSING,
};

enum {
	AF_UNIX = 1,
	AF_INET = 2,
	AF_INET6 = 10,
	IPPROTO_TCP = 6,
	IPPROTO_UDP = 17,
	SOCK_STREAM = 1,
	SOCK_DEAD_BIT = 1 << 0, /* enum sock_flags: no program holds the socket any more */
	BIND_PORT_LOCK = 8, /* in sk_userlocks: the program asked for this port */
	SOCK_DONE_BIT = 1 << 1, /* a FIN has arrived */
	RCV_SHUTDOWN = 1,
	SEND_SHUTDOWN = 2,
	MSG_OOB = 1,
	MSG_PEEK = 2,
	MSG_ERRQUEUE = 0x2000,
	TASK_INTERRUPTIBLE = 0x1,
	TASK_UNINTERRUPTIBLE = 0x2,
	PF_EXITING = 0x4,
	PF_IO_WORKER = 0x10,
	SIGNAL_GROUP_EXIT = 0x4,
	CLONE_THREAD = 0x10000,
	S_IFMT = 0170000,
	S_IFSOCK = 0140000,
	S_IFIFO = 0010000,
	IORING_OP_ACCEPT = 13,
	IORING_OP_SPLICE = 30,
	IORING_OP_LISTEN = 57,
};

#endif
