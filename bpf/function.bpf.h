/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sends and receives as seen from the kernel's functions: what the trampolines and the kprobes have in common. A
 * function knows how many bytes it was asked for; what tcp_sendmsg_locked's tracepoint says of each chunk is put together
 * from the places where a send can let others in.
 */
#ifndef BPF_FUNCTION_BPF_H
#define BPF_FUNCTION_BPF_H

#include "bpf/transfer.bpf.h"

/* tcp_sendmsg or tcp_sendpage was called. The socket is not locked yet. */
static __always_inline int send_entered(struct sock *sk, __u64 size)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct sock_state *ss = sock_used(sk);
	struct task_state *state;

	state = ss ? task_current(task, ss->box) : task_find(task);
	if (!state || state->seed.ignored)
		return 0;
	if (!ss && peek(sk, __sk_common.skc_state) != TCP_CLOSE)
		return 0; /* else it may connect with this very send */
	state->send.cookie = 0; /* of a send whose return was missed */
	state->function.send_sk = (__u64)sk;
	state->function.left = size;
	return 0;
}

/* The task is in such a call for that socket, and holds its lock: for the first time, or again after a wait. */
static __always_inline int send_locked(struct sock *sk)
{
	struct task_state *state = task_find(bpf_get_current_task_btf());
	struct tcp_sock *tp = sock_tcp(sk);
	struct sock_state *ss;

	if (!state || !tp || !sk || state->function.send_sk != (__u64)sk)
		return 0;
	if (peek(sk, __sk_common.skc_state) == TCP_SYN_SENT)
		return 0; /* waits for the connection next */
	state->function.seq = peek(tp, write_seq);
	if (!state->send.cookie) {
		ss = sock_find(sk);
		if (ss)
			state->function.left -= syn_data(ss, tp);
	}
	return send_begins(sk, state->function.left);
}

/* It is about to let go of the lock, until there is room for more. */
static __always_inline int send_waits(struct sock *sk)
{
	struct task_state *state = task_find(bpf_get_current_task_btf());
	struct tcp_sock *tp = sock_tcp(sk);
	__u32 seq;

	if (!state || !tp || state->function.send_sk != (__u64)sk)
		return 0;
	seq = peek(tp, write_seq);
	state->function.left -= seq - state->function.seq;
	state->function.seq = seq;
	return 0;
}

static __always_inline int send_left(struct sock *sk, int result)
{
	struct task_state *state = task_find(bpf_get_current_task_btf());

	if (state)
		state->function.send_sk = 0;
	return send_returned(sk, result);
}

#endif
