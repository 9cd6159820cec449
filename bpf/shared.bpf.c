// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Hooks of every backend: the life of sockets, bytes that were taken, returns of system calls. What they do is in the
 * headers; those of tasks are in task.bpf.c.
 */
#include "bpf/call.bpf.h"
#include "bpf/conn.bpf.h"
#include "bpf/transfer.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * A program that runs on a CPU is skipped there when a softirq changes another socket's state. So there are two of the
 * same, called one after the other, in the order in which they were attached: never both are skipped, and the second
 * leaves alone what the first has seen. The first leaves a note for that, which is good for as long as a softirq can come
 * between. The second leaves none: it alone sees what interrupts the first, however much that is.
 */
#define CHANGE_GOOD_NS 2000000000ULL /* a virtual CPU can stand still in between */
#define CHANGE_BUSY 0xffffffff

static __always_inline void change_note(struct sock *sk, int from, int to)
{
	__u32 zero = 0, change = (__u32)from << 8 | (__u32)to, old;
	__u64 now = bpf_ktime_get_ns();
	struct changes *seen;

	seen = bpf_map_lookup_elem(&changes, &zero);
	if (!seen)
		return;
#pragma unroll
	for (int i = 0; i < CHANGES; i++) {
		old = seen->last[i].change;
		if (old == CHANGE_BUSY || (old && now - seen->last[i].ns < CHANGE_GOOD_NS))
			continue;
		if (__sync_val_compare_and_swap(&seen->last[i].change, old, CHANGE_BUSY) != old)
			continue;
		seen->last[i].sk = (__u64)sk;
		seen->last[i].ns = now;
		barrier();
		seen->last[i].change = change;
		return;
	}
}

static __always_inline int change_seen(struct sock *sk, int from, int to)
{
	__u32 zero = 0, change = (__u32)from << 8 | (__u32)to;
	struct changes *seen;
	__u64 ns;

	seen = bpf_map_lookup_elem(&changes, &zero);
	if (!seen)
		return 0;
#pragma unroll
	for (int i = 0; i < CHANGES; i++) {
		if (seen->last[i].change != change || seen->last[i].sk != (__u64)sk)
			continue;
		ns = seen->last[i].ns;
		barrier();
		seen->last[i].change = 0;
		if (bpf_ktime_get_ns() - ns < CHANGE_GOOD_NS)
			return 1;
	}
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int from, int to)
{
	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	change_note(sk, from, to);
	return state_changed(sk, from, to);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_nested, struct sock *sk, int from, int to)
{
	if (sk->sk_protocol != IPPROTO_TCP || change_seen(sk, from, to))
		return 0;
	return state_changed(sk, from, to);
}

/* Every child of a listening socket gets its congestion control. */
SEC("tp_btf/tcp_cong_state_set")
int BPF_PROG(on_born, struct sock *sk)
{
	return sock_born(sk);
}

/* These two happen in softirqs too, in the midst of one that a call's own work brought about. What was done already is not done again. */
SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(on_reset, struct sock *sk)
{
	return reset_arrived(sk);
}

SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(on_reset_nested, struct sock *sk)
{
	return reset_arrived(sk);
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(on_destroy, struct sock *sk)
{
	return sock_destroyed(sk);
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(on_destroy_nested, struct sock *sk)
{
	return sock_destroyed(sk);
}

/* Runs in the reader's call, for every way of taking bytes. */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(on_taken, struct sock *sk)
{
	return bytes_taken(sk);
}

/*
 * Two doors to the same code: a perf event on each of the calls (the kernel's own bitmap keeps all other calls out, which
 * is cheap), or one raw tracepoint on every call. tfj opens one of them.
 */

/* What a perf event of a system call's return hands over (struct syscall_trace_exit). */
struct call_exit {
	__u64 common;
	__s64 call;
	__s64 result;
};

SEC("tracepoint")
int on_call_exit(struct call_exit *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return call_returned(task_regs(task), (__u32)ctx->call, ctx->result);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_any_exit, struct pt_regs *regs, long result)
{
	return call_returned(regs, regs_call(regs), result);
}

/*
 * Completions of io_uring, as newer and as older kernels tell of them: tfj loads the one that fits.
 */
SEC("tp_btf/io_uring_complete")
int BPF_PROG(on_completed, struct io_ring_ctx *ring, void *request, struct io_uring_cqe *cqe)
{
	return request_completed(request, BPF_CORE_READ(cqe, res));
}

SEC("tp_btf/io_uring_complete")
int BPF_PROG(on_completed_older, struct io_ring_ctx *ring, void *request, __u64 user_data, int result)
{
	return request_completed(request, result);
}
