// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Hooks of the tracepoint backend: entry and return of a send, return of a receive.
 */
#include "bpf/transfer.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Once for each chunk of a send, before the chunk is queued. Linux 6.16, 8127837aae8f. */
SEC("tp_btf/tcp_sendmsg_locked")
int BPF_PROG(on_send, struct sock *sk, struct msghdr *msg)
{
	return send_begins(sk, msg->msg_iter.count);
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_sent, struct sock *sk, int result)
{
	return send_returned(sk, result);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_received, struct sock *sk, int result, int flags)
{
	return receive_returned(sk, result, flags);
}
