// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Where content is read; those for kprobes are in content_kprobe.bpf.c. Those that fit the tracer's backend are loaded, with
 * the tracer's maps (tfj/tracer_content.c). It does not matter whether they run before or after its own programs for the
 * same place.
 */
#include "bpf/content.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

volatile __u32 content_bytes = 0;
volatile __u64 content_wake = 0;
volatile __u64 page_map_at = 0, page_memory_at = 0;

/*
 * Fires for each chunk of a send. Only the first counts: the tracer's program has not seen it yet, or has, and nothing was
 * queued since.
 */
SEC("tp_btf/tcp_sendmsg_locked")
int BPF_PROG(content_chunk, struct sock *sk, struct msghdr *msg)
{
	struct task_state *state = task_find(bpf_get_current_task_btf());
	struct sock_state *ss = sock_find(sk);
	__u64 left = msg->msg_iter.count;

	if (ss && state && state->send.cookie == ss->cookie && (state->send.requested != left || state->send.parted))
		return 0;
	return content_of_message(sk, msg, left);
}

SEC("fentry/tcp_sendmsg")
int BPF_PROG(content_send, struct sock *sk, struct msghdr *msg, __u64 size)
{
	return content_of_message(sk, msg, size);
}

/* Until Linux 6.5: a page of a file, or of a pipe. */
SEC("fentry/tcp_sendpage")
int BPF_PROG(content_page, struct sock *sk, struct page *page, int offset, __u64 size)
{
	struct page *at = 0;

	bpf_probe_read_kernel(&at, sizeof(at), &page); /* a number: with a pointer the verifier allows no arithmetic */
	return content_of_page(sk, at, offset, size);
}
