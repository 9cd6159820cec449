/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sends and receives. Both ends of a range are taken while the socket is locked: the start of a
 * send in send_begins, the end of a receive in bytes_taken; the result is known only after the lock
 * was released.
 *
 * A message's number is given out when its send enters. It counts from its first byte on: as long
 * as the stream has not moved since the number was given out, the next send gets the same one.
 */
#ifndef BPF_TRANSFER_BPF_H
#define BPF_TRANSFER_BPF_H

#include "bpf/begin.bpf.h"
#include "bpf/datagram.bpf.h"
#include "bpf/fault_send.bpf.h"
#include "bpf/file.bpf.h"
#include "bpf/local.bpf.h"

/* socket: its cookie. */
static __always_inline void send_emit(struct send_state *send, __u64 socket, struct task_struct *task, __s64 result,
				      __u16 flags)
{
	__u64 now = bpf_ktime_get_ns();
	struct rec_transfer what;

	what.cookie = socket;
	what.pos = send->pos;
	what.result = result;
	what.message = send->message;
	what.content = send->content;
	send->content = 0;
	transfer_output(&what, REC_SEND, flags, send->box, send->order, send->enter_ns, now, task);
}

/*
 * Somebody else is about to write where the last number was given out: it has no byte, and may be
 * given out again.
 */
static __always_inline void message_return(struct sock_state *ss, __u64 pos)
{
	if (ss->opened != pos)
		return;
	ss->message--;
	ss->opened = -1;
}

/* Number for a send that begins at pos. Called with the socket locked. */
static __always_inline void message_reserve(struct sock_state *ss, struct send_state *send,
					    __u32 tgid, __u64 pos)
{
	send->pos = pos;
	send->flags = 0;
	if (seldom(ss->rest) && ss->rest_tgid == tgid && ss->rest == send->requested) {
		message_return(ss, pos);
		send->message = ss->rest_message;
		send->flags = REC_F_CONTINUED;
		return;
	}
	ss->rest = 0;
	if (ss->opened != pos) {
		ss->opened = pos;
		ss->message++;
	}
	send->message = ss->message;
}

/* send_begins, again: it waited for room, or queues its next piece. Has it been given a number (again)? */
static __noinline int send_goes_on(struct sock_state *ss, struct task_state *state, __u64 left)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct send_state *send;
	__u64 pos;

	if (!ss || !state)
		return 0;
	send = &state->send;
	pos = ss->sent;
	if (left == send->requested &&
	    !send->parted) { /* it waited for room and has not begun; others may have */
		message_reserve(ss, send, task->tgid, pos);
		return 1;
	}
	message_return(ss, pos);
	if (left == send->requested)
		send->pos = pos;
	if (pos == send->pos + send->requested - left)
		return 0;
	/* others wrote after its first bytes: these are a part of their own */
	send_emit(send, ss->cookie, task, send->requested - left, send->flags | REC_F_INTERLEAVED);
	send->parted += send->requested - left;
	send->requested = left;
	send->pos = pos;
	send->order = order_draw(task, state);
	send->flags = REC_F_CONTINUED | REC_F_INTERLEAVED;
	return 0;
}

/*
 * A send of which `left` bytes are not queued yet is about to queue some: at its entry, and whenever it may have let other
 * writers in since. Called with the socket locked.
 */
static __always_inline int send_begins(struct sock *sk, __u64 left)
{
	struct sock_state *ss = sock_used(sk);
	struct task_struct *task;
	struct task_state *state;
	struct send_state *send;
	struct tcp_sock *tp;
	__u32 data;
	__u64 pos;

	if (!ss)
		return 0;
	task = bpf_get_current_task_btf();
	state = task_current(task, ss->box);
	tp = sock_tcp(sk);
	if (!state || !tp)
		return 0;
	send = &state->send;
	end_base(ss, tp);
	pos = sent_position(ss, peek(tp, write_seq));
	if (seldom(send->cookie == ss->cookie)) {
		if (!send_goes_on(ss, state, left))
			return 0;
	} else {
		accept_settle(ss, task, state);
		send->cookie = ss->cookie;
		send->sk = (__u64)sk;
		send->box = ss->box;
		send->enter_ns = bpf_ktime_get_ns();
		send->order = order_draw(task, state);
		send->requested = left;
		send->parted = 0;
		data = syn_data(ss, tp);
		send->requested += data;
		message_reserve(ss, send, task->tgid, pos - data);
	}
	return seldom(faults_on()) ? fault_send(sk, ss, send) : 0;
}

/* Nobody called send_begins: begin now, as if nobody else had written since. */
static __always_inline int send_late(struct sock *sk, struct sock_state *ss,
				     struct task_struct *task, struct task_state *state,
				     __s64 result)
{
	struct send_state *send = &state->send;
	struct tcp_sock *tp;
	__u64 asked;
	__u32 call;

	accept_settle(ss, task, state);
	send->box = ss->box;
	send->enter_ns = bpf_ktime_get_ns();
	send->order = order_draw(task, state);
	send->parted = 0;
	send->requested = 0;
	send->message = 0;
	send->pos = ss->sent;
	send->flags = 0;
	if (result < 0)
		return 0;
	tp = sock_tcp(sk);
	if (!tp)
		return -1;
	end_base(ss, tp);
	send->requested = result;
	call = task_call(task);
	if (call == NR_SENDTO || call == NR_WRITE) { /* a short write, if it was */
		asked = regs_arg3(task_regs(task));
		if (asked > send->requested)
			send->requested = asked;
	}
	message_reserve(ss, send, task->tgid,
			sent_position(ss, peek(tp, write_seq) - !!(ss->flags & SOCK_F_FIN)) - result);
	return 0;
}

/* Sockets without a state of their own that are no TCP sockets; everybody's TCP sockets go no further than here. */
static __always_inline int other_sent(struct sock *sk, int result)
{
	if (peek(sk, sk_protocol) == IPPROTO_UDP)
		return datagram_sent(sk, result);
#ifndef HOOK_UNTYPED
	if (sk->__sk_common.skc_family == AF_UNIX && sk->sk_type == SOCK_STREAM)
		return local_sent(sk, result);
#endif
	return 0;
}

static __always_inline int other_taken(struct sock *sk, int result, int flags)
{
	if (peek(sk, sk_protocol) == IPPROTO_UDP)
		return datagram_taken(sk, result, flags);
#ifndef HOOK_UNTYPED
	if (sk->__sk_common.skc_family == AF_UNIX && sk->sk_type == SOCK_STREAM)
		return local_taken(sk, result, flags);
#endif
	return 0;
}

/* A send returned that send_begins did not see, that was short, failed, or goes on with a short one. */
static __always_inline int send_settled(struct sock *sk, int result)
{
	struct sock_state *ss = sock_used(sk);
	struct task_struct *task;
	struct task_state *state;
	struct send_state *send;

	if (!ss)
		return other_sent(sk, result);
	task = bpf_get_current_task_btf();
	state = task_current(task, ss->box);
	if (!state)
		return 0;
	send = &state->send;
	if (faults_on() && ss->fault_rule)
		fault_sent(sk, ss);
	if (!result || is_retry(result) || result == -115) { /* EINPROGRESS: an ordinary SYN instead of Fast Open */
		send->cookie = 0;
		send->content = 0;
		return 0;
	}
	if (send->cookie != ss->cookie && send_late(sk, ss, task, state, result))
		return 0;
	send->cookie = 0;
	if (result < 0) {
		send->message = 0;
		send->flags = 0;
	} else {
		result -= send->parted;
		/* a short write: who goes on with just what is left continues this message */
		if (send->requested > (__u64)result) {
			ss->rest_tgid = task->tgid;
			ss->rest_message = send->message;
			ss->rest = send->requested - result;
		} else if (send->flags & REC_F_CONTINUED || ss->rest) {
			ss->rest = 0;
		}
	}
	if (result)
		send_emit(send, ss->cookie, task, result, send->flags);
	return 0;
}

/*
 * A send returned: bytes or negative errno. The socket is not locked any more. Nearly always send_begins has seen it begin,
 * nobody came between, and it has queued everything: then all that is to be told stands with the task, and the socket is
 * not asked, which is the dearest of all look-ups.
 */
static __always_inline int send_returned(struct sock *sk, int result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = task_find(task);
	struct send_state *send;
	__u64 socket;

	if (seldom(!state))
		goto ask;
	send = &state->send;
	socket = send->cookie;
	if (seldom(!socket || send->sk != (__u64)sk || send->flags || result <= 0 || (__u64)result != send->requested))
		goto ask;
	send->cookie = 0;
	send_emit(send, socket, task, result, 0);
	return 0;
ask:
	return send_settled(sk, result);
}

/* socket: its cookie. */
static __always_inline void recv_emit(__u64 socket, __u32 box, struct task_struct *task, struct task_state *state,
				      __u64 pos, __s64 result, __u16 flags)
{
	__u64 now = bpf_ktime_get_ns(), order, enter;
	struct rec_transfer what;

	order = order_draw(task, state);
	enter = call_enter(task, state, now);
	what.cookie = socket;
	what.pos = pos;
	what.result = result;
	what.message = 0;
	what.content = 0;
	transfer_output(&what, REC_RECV, flags, box, order, enter, now, task);
}

/* Bytes that no receive that returns will tell of. */
static __noinline int taken_told(struct sock_state *ss, struct task_state *state, __u64 pos, __u64 size)
{
	if (ss && state)
		recv_emit(ss->cookie, ss->box, bpf_get_current_task_btf(), state, pos, size, 0);
	return 0;
}

static __noinline int taken_by_call(struct sock *sk, __u32 call)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (call == CALL_NONE)
		return worker_opcode(task) == IORING_OP_SPLICE;
	/* at the end of any call a task also does what io_uring has for it */
	return fd_sock(task, regs_arg1(task_regs(task))) == sk;
}

/* Are bytes taken without a receive that returns? By splice and by TCP_ZEROCOPY_RECEIVE. */
static __always_inline int taken_alone(struct sock *sk, struct task_struct *task)
{
	__u32 call = task_call(task);

	return (call == CALL_NONE || call == NR_SPLICE || call == NR_GETSOCKOPT) && taken_by_call(sk, call);
}

/*
 * Was this thread in the receive when it was attached? Then its return may not be heard of, and the bytes are told of now, as a
 * part of it. What comes next is the rest of it or another one: receive_told sees which.
 */
static __always_inline int taken_unseen(struct sock *sk, struct sock_state *ss, struct task_state *state, __u64 before, __u64 end)
{
	struct receive_state *receive = &state->receive;

	if (state->unseen != UNSEEN_WAITS) {
		if (receive->end != before) /* others read meanwhile */
			receive->start = before;
		receive->end = end;
		return receive->cookie == ss->cookie;
	}
	state->unseen = UNSEEN_TOLD;
	if (end > before)
		taken_told(ss, state, before, end - before);
	receive->cookie = ss->cookie;
	receive->sk = (__u64)sk;
	receive->box = ss->box;
	receive->start = receive->end = end;
	receive->parted = end - before;
	return 1;
}

/*
 * Bytes were taken, the socket is locked; a FIN behind them is not counted yet, except where splice
 * took it too.
 */
static __always_inline int bytes_taken(struct sock *sk)
{
	struct sock_state *ss = sock_used(sk);
	struct task_struct *task;
	struct receive_state *receive;
	struct task_state *state;
	struct tcp_sock *tp;
	__u64 before, end;

	if (!ss)
		return 0;
	task = bpf_get_current_task_btf();
	state = task_current(task, ss->box);
	tp = sock_tcp(sk);
	if (!state || !tp)
		return 0;
	accept_settle(ss, task, state);
	before = ss->taken;
	ss->taken = end = received_position(ss, received_end(sk, tp));
	if (seldom(faults_on()))
		fault_read(ss, received_number(ss), before ? 0 : FAULT_READ_FIRST);
	if (seldom(taken_alone(sk, task))) {
		if (end > before)
			taken_told(ss, state, before, end - before);
		return 0;
	}
	if (seldom(state->unseen) && taken_unseen(sk, ss, state, before, end))
		return 0;
	receive = &state->receive;
	if (receive->cookie != ss->cookie) {
		receive->cookie = ss->cookie;
		receive->sk = (__u64)sk;
		receive->box = ss->box;
		receive->start = before;
		receive->parted = 0;
	} else if (receive->end != before) { /* others read while it waited for more: parts, as with sends */
		taken_told(ss, state, receive->start, receive->end - receive->start);
		receive->parted += receive->end - receive->start;
		receive->start = before;
	}
	receive->end = end;
	return 0;
}

/*
 * Is a result of 0 the peer's end of the stream? A program may also ask for no bytes, or have shut
 * this side down itself, which tells nothing of the peer.
 */
static __always_inline int is_end(struct sock *sk, struct task_struct *task)
{
	struct pt_regs *regs = task_regs(task);
	__u32 call = task_call(task);

	if (!(peek(sk, __sk_common.skc_flags) & SOCK_DONE_BIT) &&
	    peek(sk, __sk_common.skc_state) != TCP_CLOSE)
		return 0;
	return (call != NR_READ && call != NR_RECVFROM) || regs_arg3(regs);
}

/* A receive returned of which bytes_taken tells nothing, or not all. */
static __always_inline int receive_settled(struct sock *sk, int result, int flags)
{
	struct sock_state *ss = sock_used(sk);
	struct task_struct *task;
	struct task_state *state;
	struct tcp_sock *tp;
	__u16 skipped = 0;
	__u64 pos;

	if (!ss)
		return other_taken(sk, result, flags);
	task = bpf_get_current_task_btf();
	state = task_current(task, ss->box);
	if (!state)
		return 0;
	accept_settle(ss, task, state);
	if (seldom(state->unseen)) { /* whatever it was in when it was attached is over */
		state->unseen = UNSEEN_NONE;
		state->receive.cookie = 0;
	}
	if (faults_on() && flags & MSG_PEEK && result > 0)
		fault_read(ss, received_number(ss) + result, FAULT_READ_PEEKED);
	if (flags & (MSG_PEEK | MSG_ERRQUEUE) || is_retry(result) ||
	    (!result && !is_end(sk, task))) {
		state->sleep_ns = 0;
		state->receive.cookie = 0;
		return 0;
	}
	tp = sock_tcp(sk);
	if (!tp)
		return 0;
	if (flags & MSG_OOB && result > 0) {
		pos = position_near(ss->received, ss->first_remote, peek(tp, urg_seq));
		recv_emit(ss->cookie, ss->box, task, state, pos, result, REC_F_URGENT);
		return 0;
	}
	if (state->receive.cookie == ss->cookie) {
		pos = state->receive.end;
	} else {
		pos = position_near(ss->received, ss->first_remote, received_end(sk, tp));
		if (!(ss->flags & SOCK_F_KEYED)) {
			pos = 0;
		} else if (!result && pos == ss->taken + 1) {
			ss->taken = pos;
			skipped = REC_F_SKIPPED;
		}
	}
	state->receive.cookie = 0;
	recv_emit(ss->cookie, ss->box, task, state, result > 0 ? pos - result : pos, result, skipped);
	return 0;
}

/* The first receive that returns since taken_unseen has told of a part: it is the same one, or another that has only the rest. */
static __noinline int receive_told(struct task_struct *task, struct task_state *state, __s64 result)
{
	struct receive_state *receive = &state->receive;
	__u64 moved = receive->end - receive->start;

	state->unseen = UNSEEN_NONE;
	if ((__u64)result == moved + receive->parted)
		result = moved;
	if (result > 0)
		recv_emit(receive->cookie, receive->box, task, state, receive->end - result, result, 0);
	receive->cookie = 0;
	return 0;
}

/*
 * A receive with these flags returned: bytes, 0 or negative errno. The socket is not locked any more. Where bytes_taken has
 * seen what it took, all that is to be told stands with the task: as with sends, the socket is not asked.
 */
static __always_inline int receive_returned(struct sock *sk, int result, int flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = task_find(task);
	struct receive_state *receive;
	__u64 socket, pos;
	__u16 skipped = 0;

	if (seldom(!state))
		goto ask;
	receive = &state->receive;
	socket = receive->cookie;
	if (seldom(!socket || receive->sk != (__u64)sk || result <= 0 || flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB)))
		goto ask;
	if (seldom(state->unseen))
		return receive_told(task, state, result);
	pos = receive->end;
	result -= receive->parted;
	/* of the bytes that the stream moved by, an urgent one was not handed over */
	if (result > 0 && pos - receive->start == (__u64)result + 1)
		skipped = REC_F_SKIPPED;
	receive->cookie = 0;
	recv_emit(socket, receive->box, task, state, result > 0 ? pos - result : pos, result, skipped);
	return 0;
ask:
	return receive_settled(sk, result, flags);
}

#endif
