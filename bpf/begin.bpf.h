/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How an end becomes known. Mostly it is established, then accepted, then used. With TCP Fast Open it is used before it is
 * established; an accept that no system call returns from is only known by its first use; and a connection that is older
 * than the tracer is known by its counters.
 */
#ifndef BPF_BEGIN_BPF_H
#define BPF_BEGIN_BPF_H

#include "bpf/fault.bpf.h"
#include "bpf/order.bpf.h"

#define SYN_DATA_MAX 65536 /* no SYN carries so much */

/*
 * Both sequence numbers are known: tells. flags: of the record. task, order: whoever uses an older connection, else none.
 */
static __always_inline void end_announce(struct sock *sk, struct sock_state *ss, __u16 flags, __u64 order,
					 struct task_struct *task)
{
	__u64 now = bpf_ktime_get_ns();
	struct rec_established *record;

	record = record_reserve(sizeof(*record), REC_ESTABLISHED, flags, ss->box, order,
				ss->syn_ns, now, task);
	if (!record)
		return;
	record->cookie = ss->cookie;
	local_address(sk, &record->local);
	if (!record->local.port) /* an older end that is known by its close has left its port */
		record->local.port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	remote_address(sk, &record->remote);
	record->first_local = ss->first_local;
	record->first_remote = ss->first_remote;
	record_submit(record);
}

/*
 * An end is established, or is the child of a listening socket and used before that (Fast Open). An ignored connector
 * leaves its sequence numbers, by which the accepted end is known to be its peer.
 */
static __noinline int end_keyed(struct sock *sk, struct sock_state *ss)
{
	__u32 one = 1, accepted;
	__u64 key;

	if (!ss)
		return 0;
	accepted = ss->flags & SOCK_F_ACCEPTOR;
	ss->flags |= SOCK_F_KEYED;
	if (ignoring && accepted) {
		key = end_key(ss);
		if (bpf_map_lookup_elem(&ignored_keys, &key)) {
			bpf_map_delete_elem(&ignored_keys, &key);
			ss->flags |= SOCK_F_IGNORED;
			bpf_map_update_elem(&ignored_cookies, &ss->cookie, &one, BPF_ANY);
			bpf_map_delete_elem(&unaccepted, &ss->cookie);
		}
	} else if (ss->flags & SOCK_F_IGNORED) {
		key = peer_key(ss);
		bpf_map_update_elem(&ignored_keys, &key, &one, BPF_ANY);
	}
	if (ss->flags & SOCK_F_IGNORED)
		return 0;
	end_announce(sk, ss, accepted ? REC_F_ACCEPTOR : 0, 0, 0);
	return faults_on() ? fault_keyed(ss) : 0;
}

/*
 * A connector that sends before it is established: its data goes with the SYN, whose number is the one before the first
 * byte's. What it sends counts from there.
 */
static __always_inline void end_base(struct sock_state *ss, struct tcp_sock *tp)
{
	if (ss->flags & (SOCK_F_KEYED | SOCK_F_BASED))
		return;
	ss->flags |= SOCK_F_BASED;
	ss->first_local = peek(tp, snd_sml) + 1;
	ss->opened = -1;
}

/* Bytes that went with the SYN of a connector, and are the beginning of the send that it is in: its first one. */
static __always_inline __u32 syn_data(struct sock_state *ss, struct tcp_sock *tp)
{
	__u32 data = peek(tp, write_seq) - ss->first_local;

	if (ss->message || ss->flags & (SOCK_F_ACCEPTOR | SOCK_F_OLDER) || !(ss->flags & (SOCK_F_KEYED | SOCK_F_BASED)))
		return 0;
	return data < SYN_DATA_MAX ? data : 0;
}

/* Whose a listener is in the box of a guest is known when it begins to listen, and its children are the same one's. */
static __always_inline void listener_note(__u16 port, __u32 box, int ours)
{
	struct port_key key = { box, port };
	__u32 one = 1;

	if (!(box & BOX_GUEST))
		return;
	if (ours)
		bpf_map_update_elem(&listeners, &key, &one, BPF_ANY);
	else
		bpf_map_delete_elem(&listeners, &key);
}

static __always_inline void listen_emit(struct task_struct *task, struct task_state *state, __u32 box, __u64 cookie,
					const struct rec_addr *local, __u16 flags)
{
	__u64 now = bpf_ktime_get_ns(), order = order_draw(task, state);
	struct rec_listen *record = record_reserve(sizeof(*record), REC_LISTEN, flags, box, order, now, now, task);

	if (!record)
		return;
	record->cookie = cookie;
	record->local = *local;
	record_submit(record);
}

/* An accept returned that socket, or (INFERRED) must have. */
static __always_inline void accept_emit(struct task_struct *task, struct task_state *state, __u32 box, __u64 cookie,
					int result, __u16 flags)
{
	__u64 now = bpf_ktime_get_ns(), order = order_draw(task, state), enter = now;
	struct rec_accept *record;

	if (!(flags & REC_F_INFERRED))
		enter = call_enter(task, state, now);
	record = record_reserve(sizeof(*record), REC_ACCEPT, flags, box, order, enter, now, task);
	if (!record)
		return;
	record->cookie = cookie;
	record->result = result;
	record->local = 0;
	record_submit(record);
	if (faults_on())
		fault_accepted(cookie);
}

/*
 * A task uses the socket. Has nobody said that it was accepted? Then it was, into the table of a ring of io_uring, by
 * this process or whoever gave it the socket.
 */
static __always_inline void accept_settle(struct sock_state *ss, struct task_struct *task, struct task_state *state)
{
	__u64 cookie = ss->cookie;

	if (!seldom((ss->flags & (SOCK_F_ACCEPTOR | SOCK_F_ACCEPTED)) == SOCK_F_ACCEPTOR))
		return;
	if (__sync_fetch_and_or(&ss->flags, SOCK_F_ACCEPTED) & SOCK_F_ACCEPTED)
		return;
	if (!bpf_map_delete_elem(&unaccepted, &cookie))
		accept_emit(task, state, ss->box, cookie, 0, REC_F_INFERRED);
}

#ifndef HOOK_UNTYPED
/* Is the child of a listening socket in this box ours? */
static __always_inline int child_ours(struct sock *sk, __u32 box)
{
	struct port_key key = { box, sk->__sk_common.skc_num };

	return box && (!(box & BOX_GUEST) || bpf_map_lookup_elem(&listeners, &key));
}

/* The child of a listening socket: it may be accepted and used before it is established. NULL: not ours. */
static __always_inline struct sock_state *child_create(struct sock *sk, struct tcp_sock *tp)
{
	__u32 box = sock_box(sk), one = 1;
	struct sock_state *ss = child_ours(sk, box) ? sock_create(sk, box, SOCK_F_ACCEPTOR) : 0;
	__u64 cookie;

	if (!ss)
		return 0;
	ss->first_local = tp->write_seq;
	ss->first_remote = tp->copied_seq;
	ss->opened = -1;
	cookie = ss->cookie;
	if (bpf_map_update_elem(&unaccepted, &cookie, &one, BPF_ANY))
		count(COUNTER_LOST_ACCEPT);
	return ss;
}
#endif

/* Is a FIN of ours counted in write_seq? */
static __always_inline int fin_is_queued(struct sock *sk)
{
	switch (peek(sk, __sk_common.skc_state)) {
	case TCP_FIN_WAIT1:
	case TCP_FIN_WAIT2:
	case TCP_LAST_ACK:
	case TCP_CLOSING:
		return 1;
	}
	return 0;
}

/*
 * Number of the first byte that an older end sent. bytes_acked counts the connector's SYN too; bytes_sent, which counts
 * what was sent again and is wrong after a local drop, tells whether there was one. *ret_connector: -1 unknown.
 */
static __always_inline __u32 first_sent(struct sock *sk, struct tcp_sock *tp, int *ret_connector)
{
	__u32 first = peek(tp, snd_una) - (__u32)peek(tp, bytes_acked);
	__u32 sent = peek(tp, snd_nxt) - (__u32)(peek(tp, bytes_sent) - peek(tp, bytes_retrans));

	if (fin_is_queued(sk) && peek(tp, snd_nxt) == peek(tp, write_seq))
		sent--;
	*ret_connector = sent == first ? 0 : sent == first + 1 ? 1 : -1;
	return first + (*ret_connector == 1);
}

/*
 * A thread that was in a receive when it was attached has taken bytes: it began where the socket had been read up to then. Else
 * nothing but the receive's result tells how many.
 */
static __always_inline void taken_since(struct sock_state *ss, const struct task_state *state)
{
	__u64 cookie = ss->cookie, *taken = bpf_map_lookup_elem(&older_taken, &cookie);

	if (taken && state->unseen == UNSEEN_WAITS && *taken < ss->taken)
		ss->taken = *taken;
}

/*
 * A traced task uses a socket that has no state: it was there before us. What passed before is unknown, and is no hole.
 */
static __noinline int sock_adopt(struct sock *sk)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = task_kept(task);
	struct tcp_sock *tp;
	struct sock_state *ss;
	int connector;
	__u32 box, end;

	if (!state || state->seed.ignored || peek(sk, sk_protocol) != IPPROTO_TCP ||
	    (peek(sk, __sk_common.skc_family) != AF_INET && peek(sk, __sk_common.skc_family) != AF_INET6))
		return 0;
	ss = sock_state(sk);
	if (ss && ss->epoch == epoch)
		return 0; /* ignored */
	tp = sock_tcp(sk);
	box = sock_box(sk);
	if (!tp || !box || peek(sk, __sk_common.skc_state) == TCP_SYN_SENT || peek(sk, __sk_common.skc_state) == TCP_LISTEN ||
	    peek(sk, __sk_common.skc_state) == TCP_CLOSE)
		return 0;
	ss = sock_create(sk, box, SOCK_F_KEYED | SOCK_F_ACCEPTED | SOCK_F_OLDER);
	if (!ss)
		return 0;
	ss->first_local = first_sent(sk, tp, &connector);
	ss->first_remote = peek(tp, rcv_nxt) - (__u32)peek(tp, bytes_received);
	end = received_end(sk, tp);
	ss->sent = peek(tp, bytes_acked) - (connector == 1) + (peek(tp, write_seq) - peek(tp, snd_una));
	ss->received = ss->taken = peek(tp, bytes_received) - (peek(tp, rcv_nxt) - end);
	taken_since(ss, state);
	ss->opened = -1;
	if (!connector)
		ss->flags |= SOCK_F_ACCEPTOR;
	if (fin_is_queued(sk)) {
		ss->flags |= SOCK_F_FIN;
		sent_position(ss, peek(tp, write_seq) - 1);
	}
	end_announce(sk, ss,
		     REC_F_OLDER | (connector ? 0 : REC_F_ACCEPTOR) | (connector < 0 ? REC_F_UNKNOWN : 0),
		     order_draw(task, state), task);
	return 1;
}

/* State of a socket that the current task uses, sock_find otherwise. */
static __always_inline struct sock_state *sock_used(struct sock *sk)
{
	struct sock_state *ss = sock_find(sk);

	if (ss && seldom((ss->flags & (SOCK_F_ACCEPTOR | SOCK_F_KEYED)) == SOCK_F_ACCEPTOR)) {
		end_keyed(sk, ss);
		return ss->flags & SOCK_F_IGNORED ? 0 : ss;
	}
	if (!ss && adopting && sock_adopt(sk))
		ss = sock_kept(sk);
	return ss;
}

#endif
