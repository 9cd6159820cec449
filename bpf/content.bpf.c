// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Where content is read. One of these programs is loaded, with the maps of the tracer (tfj/content.c). It does not matter
 * whether it runs before or after the tracer's own program for the same place.
 */
#include "bpf/content.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

volatile __u32 content_bytes = 0;
volatile __u64 content_wake = 0;
volatile __u64 page_map_at = 0, page_memory_at = 0;

/* The task and the socket, if both are ours; else 0. */
static __always_inline struct sock_state *sender_find(struct sock *sk, struct task_struct *task,
						      struct task_state **ret_state)
{
	struct sock_state *ss = sock_find(sk);
	struct task_state *state = ss ? task_find(task) : 0;

	if (state && state->seed.ignored)
		return 0;
	*ret_state = state;
	return ss;
}

/*
 * Fires for each chunk of a send. Only the first counts: the tracer's program has not seen it yet, or has, and nothing was
 * queued since.
 */
SEC("tp_btf/tcp_sendmsg_locked")
int BPF_PROG(content_chunk, struct sock *sk, struct msghdr *msg)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = 0;
	struct sock_state *ss = sender_find(sk, task, &state);
	__u64 left = msg->msg_iter.count;

	if (!ss)
		return 0;
	if (state && state->send.cookie == ss->cookie && (state->send.requested != left || state->send.parted))
		return 0;
	return content_emit(ss, task, msg, left);
}

SEC("fentry/tcp_sendmsg")
int BPF_PROG(content_send, struct sock *sk, struct msghdr *msg, __u64 size)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = 0;
	struct sock_state *ss = sender_find(sk, task, &state);

	if (!ss)
		return 0;
	return content_emit(ss, task, msg, size);
}
