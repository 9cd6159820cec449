/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Life of connections, from the state changes of their sockets. A change can happen in anybody's
 * context (softirq, another task's release of a lock): it is charged to the current task only where
 * nothing but a call of that task can have caused it.
 */
#ifndef BPF_CONN_BPF_H
#define BPF_CONN_BPF_H

#include "bpf/begin.bpf.h"

/* Bytes of the program that the peer has not acknowledged. */
static __always_inline __u64 tcp_unacked(struct tcp_sock *tp, struct sock_state *ss)
{
	__u32 waiting = tp->write_seq - tp->snd_una;

	return waiting && ss->flags & SOCK_F_FIN ? waiting - 1 : waiting;
}

/* Bytes that arrived and that the program has not taken. */
static __always_inline __u64 tcp_unread(struct sock *sk, struct tcp_sock *tp)
{
	__u32 waiting = tp->rcv_nxt - tp->copied_seq;

	return waiting && sk->__sk_common.skc_flags & SOCK_DONE_BIT ? waiting - 1 : waiting;
}

static __always_inline void close_emit(struct sock_state *ss, __u16 kind, __u16 flags, __u64 order,
				       struct task_struct *task)
{
	__u64 now = bpf_ktime_get_ns();
	struct rec_close *record;

	if (ss->flags & SOCK_F_ACCEPTOR)
		flags |= REC_F_ACCEPTOR;
	record = record_reserve(sizeof(*record), kind, flags, ss->box, order, now, now, task);
	if (!record)
		return;
	record->cookie = ss->cookie;
	record->sent = ss->sent;
	record->received = ss->received;
	record->unacked = ss->final_unacked;
	record->unread = ss->final_unread;
	record_submit(record);
}

/* Brings positions up to date. */
static __always_inline void sock_measure(struct sock *sk, struct tcp_sock *tp,
					 struct sock_state *ss)
{
	sent_position(ss, tp->write_seq - !!(ss->flags & SOCK_F_FIN));
	received_position(ss, received_end(sk, tp));
	ss->final_unacked = tcp_unacked(tp, ss);
	ss->final_unread = tcp_unread(sk, tp);
}

/* This end sends no more because its program said so. */
static __noinline int sock_close(struct sock *sk, struct sock_state *ss, __u32 rst)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct tcp_sock *tp = sock_tcp(sk);
	struct task_state *state;
	__u16 flags = rst ? REC_F_RST : 0;

	if (!tp || !ss)
		return 0;
	sock_measure(sk, tp, ss);
	if (faults_on())
		fault_closing(sk, ss);
	state = task_current(task, ss->box);
	if (!state)
		return 0;
	if (sk->sk_socket) /* else it goes with its listening socket, and was never accepted */
		accept_settle(ss, task, state);
	if (task->flags & PF_EXITING)
		flags |= REC_F_EXITING;
	else if ((sk->sk_shutdown & (SEND_SHUTDOWN | RCV_SHUTDOWN)) == SEND_SHUTDOWN ||
		 task_call(task) == NR_SHUTDOWN)
		flags |= REC_F_SHUTDOWN;
	close_emit(ss, REC_CLOSE, flags, order_draw(task, state), task);
	return 0;
}

/*
 * A SYN leaves, but not in a connect(): by io_uring, or with the first bytes of a send (Fast Open). Nothing will return
 * that tells; the outcome comes as ESTABLISHED or FAILED.
 */
static __always_inline void connect_emit(struct task_struct *task, struct task_state *state, __u32 box)
{
	__u64 cookie = state->open.cookie, now = state->open.enter_ns;
	struct rec_connect *record;
	__u32 one = 1;

	state->open.cookie = 0;
	bpf_map_update_elem(&pending, &cookie, &one, BPF_ANY);
	record = record_reserve(sizeof(*record), REC_CONNECT, 0, box, state->open.order, now, now, task);
	if (!record)
		return;
	record->cookie = cookie;
	record->remote = state->open.remote;
	record->ordinal = state->open.ordinal;
	record->result = -115; /* EINPROGRESS */
	record->local = 0;
	record_submit(record);
}

static __noinline int sock_open(struct sock *sk)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 box = sock_box(sk);
	struct task_state *state;
	struct sock_state *ss;
	struct rec_open *record;
	__u64 order, now;

	if (!box)
		return 0;
	ss = sock_state(sk);
	if (ss && ss->epoch == epoch && ss->flags & SOCK_F_KEYED && !(ss->flags & SOCK_F_IGNORED))
		close_emit(ss, REC_DESTROY, 0, 0, 0); /* disconnected, and connects again */
	state = task_current(task, box);
	if (!state && !ss && box & BOX_GUEST)
		return 0; /* a stranger's */
	ss = sock_create(sk, box, state ? 0 : SOCK_F_IGNORED);
	if (!ss || !state)
		return 0;
	now = bpf_ktime_get_ns();
	order = order_draw(task, state);
	ss->syn_ns = now;
	state->open.cookie = ss->cookie;
	state->open.enter_ns = now;
	state->open.order = order;
	remote_address(sk, &state->open.remote);
	state->open.ordinal = ordinal_draw(task, box, &state->open.remote);
	if (fault_able) /* rules may come when it is connected */
		fault_name(ss, &state->open, state->seed.label);
	record = record_reserve(sizeof(*record), REC_OPEN, 0, box, order, now, now, task);
	if (!record)
		return 0;
	record->cookie = ss->cookie;
	record->remote = state->open.remote;
	record->ordinal = state->open.ordinal;
	record_submit(record);
	if (task_call(task) != NR_CONNECT)
		connect_emit(task, state, box);
	return faults_on() ? fault_open(ss) : 0;
}

/* Nobody bound it: it has a port when listen() returns, see listen_done. */
static __noinline int sock_listen(struct sock *sk)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 box = sock_box(sk);
	struct task_state *state;
	struct rec_addr local;

	if (!box)
		return 0;
	state = task_current(task, box);
	listener_note(sk->__sk_common.skc_num, box, state != 0);
	if (!state)
		return 0;
	state->listen_cookie = 0;
	local_address(sk, &local);
	if (local.port)
		listen_emit(task, state, box, bpf_get_socket_cookie(sk), &local,
			    port_is_chosen(sk) ? 0 : REC_F_EPHEMERAL);
	else
		state->listen_cookie = bpf_get_socket_cookie(sk);
	return 0;
}

/* Both sequence numbers are known. `accepted`: the child of a listening socket. */
static __noinline int sock_established(struct sock *sk, int accepted)
{
	struct tcp_sock *tp = sock_tcp(sk);
	struct sock_state *ss = sock_state(sk);
	__u32 data;

	if (!tp)
		return 0;
	if (accepted && !(ss && ss->epoch == epoch && ss->flags & SOCK_F_ACCEPTOR))
		ss = child_create(sk, tp);
	if (!ss || ss->epoch != epoch || ss->flags & SOCK_F_KEYED)
		return 0;
	if (!accepted) {
		/* what went with the SYN counts in write_seq already */
		data = tp->write_seq - (tp->snd_sml + 1);
		if (!(ss->flags & SOCK_F_BASED)) {
			ss->first_local = data < SYN_DATA_MAX ? tp->snd_sml + 1 : tp->write_seq;
			ss->opened = -1;
		}
		ss->first_remote = tp->copied_seq;
	}
	return end_keyed(sk, ss);
}

/* A child of a listening socket was made: with Fast Open, long before it is established. */
static __always_inline int sock_born(struct sock *sk)
{
	struct tcp_sock *tp;

	if (sk->__sk_common.skc_state != TCP_SYN_RECV || sk->sk_protocol != IPPROTO_TCP || sock_state(sk))
		return 0;
	tp = sock_tcp(sk);
	if (tp)
		child_create(sk, tp);
	return 0;
}

static __noinline int sock_failed(struct sock *sk, struct sock_state *ss)
{
	__u64 now = bpf_ktime_get_ns();
	struct rec_failed *record;

	if (!ss)
		return 0;
	record = record_reserve(sizeof(*record), REC_FAILED, 0, ss->box, 0, ss->syn_ns, now, 0);
	if (!record)
		return 0;
	record->cookie = ss->cookie;
	record->error = -sk->sk_err;
	record->unused = 0;
	record_submit(record);
	return 0;
}

/*
 * A connection ended. Was it an RST of ours, the kernel that gave up, or the orderly end that was
 * announced before?
 */
static __noinline int sock_ended(struct sock *sk, struct sock_state *ss, int from)
{
	struct tcp_sock *tp = sock_tcp(sk);
	__u64 flags = sk->__sk_common.skc_flags;
	int closing;

	if (!tp || !ss)
		return 0;
	sock_measure(sk, tp, ss);
	if (ss->flags & SOCK_F_RESET)
		return 0;
	if (sk->sk_err) {
		close_emit(ss, REC_CLOSE, REC_F_GAVE_UP, 0, 0);
		return 0;
	}
	/*
	 * close() has emptied the queue of what was not read; SO_LINGER 0 and disconnect have not
	 */
	closing = ss->final_unread && !sk->sk_receive_queue.qlen;
	switch (from) {
	case TCP_ESTABLISHED:
	case TCP_CLOSE_WAIT:
		return sock_close(sk, ss, 1);
	case TCP_FIN_WAIT1:
	case TCP_FIN_WAIT2:
		if (!(flags & SOCK_DEAD_BIT) && (closing || !(flags & SOCK_DONE_BIT)))
			return sock_close(sk, ss, 1);
	}
	return 0;
}

/* Has it sent a SYN of its own? The child of a listening socket has no state before it is established. */
static __always_inline int sock_connects(struct sock *sk)
{
	struct sock_state *ss = sock_state(sk);

	return ss && ss->epoch == epoch && !(ss->flags & (SOCK_F_ACCEPTOR | SOCK_F_KEYED));
}

/* Can nothing but a call of the current task have caused this change? */
static __always_inline int closes(struct sock *sk, int from, int to)
{
	return to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK ||
	       (to == TCP_CLOSE && (from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT) && !sk->sk_err);
}

static __noinline int state_changed(struct sock *sk, int from, int to)
{
	struct sock_state *ss;

	if (from == TCP_CLOSE && to == TCP_SYN_SENT)
		return sock_open(sk);
	if (from == TCP_CLOSE && to == TCP_LISTEN)
		return sock_listen(sk);
	/* a connector passes SYN_RECV too when the two SYNs cross, or when it meets itself */
	if (to == TCP_ESTABLISHED && (from == TCP_SYN_RECV || from == TCP_SYN_SENT))
		return sock_established(sk, from == TCP_SYN_RECV && !sock_connects(sk));
	ss = closes(sk, from, to) ? sock_used(sk) : sock_find(sk);
	if (!ss)
		return 0;
	if (from == TCP_SYN_SENT && to == TCP_CLOSE)
		return sock_failed(sk, ss);
	if (!(ss->flags & SOCK_F_KEYED))
		return 0;
	if (to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK) {
		sock_close(sk, ss, 0);
		ss->flags |= SOCK_F_FIN; /* the FIN is queued right after this */
	} else if (to == TCP_CLOSE) {
		sock_ended(sk, ss, from);
	}
	return 0;
}

/* An RST of the peer arrived. It ends the socket: the second time it is the same one. */
static __always_inline int reset_arrived(struct sock *sk)
{
	struct sock_state *ss = sock_find(sk);
	struct tcp_sock *tp;

	if (!ss || ss->flags & SOCK_F_RESET)
		return 0;
	ss->flags |= SOCK_F_RESET;
	tp = sock_tcp(sk);
	if (!tp || !(ss->flags & SOCK_F_KEYED))
		return 0; /* refused: FAILED comes */
	sock_measure(sk, tp, ss);
	close_emit(ss, REC_RESET, 0, 0, 0);
	return 0;
}

/* The kernel forgets the socket. The second time there is nothing to be found. */
static __always_inline int sock_destroyed(struct sock *sk)
{
	struct sock_state *ss = sock_find(sk);
	__u64 cookie;

	if (ss) {
		cookie = ss->cookie;
		if ((ss->flags & (SOCK_F_ACCEPTOR | SOCK_F_ACCEPTED)) == SOCK_F_ACCEPTOR)
			bpf_map_delete_elem(&unaccepted, &cookie);
		/* two packets that complete one handshake at once make two children: one goes before it is anything */
		if ((ss->flags & (SOCK_F_ACCEPTOR | SOCK_F_KEYED)) != SOCK_F_ACCEPTOR)
			close_emit(ss, REC_DESTROY, 0, 0, 0);
		if (faults_on())
			fault_forget(ss);
		ss->epoch = epoch - 1; /* not of this run any more */
	}
	sock_forget(sk);
	return 0;
}

#endif
