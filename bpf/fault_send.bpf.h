/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Moments of messages: before one is sent, and after its first byte was read. What a rule on a connection needs to
 * know of it is taken here, while the socket is locked.
 */
#ifndef BPF_FAULT_SEND_BPF_H
#define BPF_FAULT_SEND_BPF_H

#include "bpf/fault.bpf.h"

/* What packets meet after a send that was the moment. */
static __always_inline __u32 fault_act(struct rule *rule, struct tcp_sock *tp)
{
	if (rule->effect != RULE_SIGNAL)
		return rule->effect;
	if (rule->signal != SIGKILL)
		return RULE_HOLD;
	if (rule->silent)
		return RULE_CUT;
	/* as the kernel would: a program that goes with something unread makes an RST */
	return peek(tp, rcv_nxt) != peek(tp, copied_seq) ? RULE_RESET : RULE_FIN;
}

/* Where `pos` is in the stream that this end sends. */
static __always_inline __u32 sent_number(const struct sock_state *ss, __u64 pos)
{
	return ss->first_local + (__u32)pos;
}

/* The socket is locked. 0: in place. */
static __always_inline int fault_place(struct rule *rule, struct sock *sk, struct sock_state *ss, struct tcp_sock *tp,
				       struct fault_moment *at)
{
	struct rule_gate *gate = rule_gate();

	if (!gate)
		return -1;
	rule->cookie = ss->cookie;
	rule->pos = at->pos;
	rule->asked = at->asked;
	rule->seq = rule->top = sent_number(ss, at->pos);
	rule->back = rule->back_at = rule->back_top = peek(tp, rcv_nxt);
	rule->messages = 1;
	rule->phase = (__s32)(peek(tp, snd_una) - rule->seq) >= 0 ? RULE_DRAINED : RULE_WAITS;
	if (fault_flows(sk, ss, rule->id << RULE_FLOW_SHIFT))
		return -1;
	rule_placed(rule, &gate->flows);
	return 0;
}

/* The moment is a send that is about to queue its first byte. */
fault_function int fault_fire_send(struct rule *rule, struct sock *sk, struct sock_state *ss, struct fault_moment *at)
{
	struct tcp_sock *tp = sock_tcp(sk);

	if (!rule || !ss || !at || !tp || !rule_claim(rule))
		return 0;
	if (!rule->dry && (effect_is_of_message(rule->effect) || rule->effect == RULE_SIGNAL)) {
		rule->act = fault_act(rule, tp);
		if (fault_place(rule, sk, ss, tp, at)) {
			rule->state = RULE_CROWDED;
			return 0;
		}
		if (rule->act != RULE_DROP)
			ss->fault_rule = rule->id;
	}
	return rule_begin(rule, ss, at);
}

/* Into a place that is free, or that one has which waits no more. 0: it has one. */
static __always_inline int due_add(struct rule_list *due, __u32 id)
{
	for (int i = 0; i < RULE_SHARED; i++) {
		__u32 old = due->rules[i];
		struct rule *other = old ? rule_find(old) : 0;

		if (other && other->state == RULE_ARMED)
			continue;
		if (__sync_val_compare_and_swap(&due->rules[i], old, id) == old)
			return 0;
	}
	return -1;
}

/*
 * A message is about to be sent whose receive is a moment. Nothing of it may be read together with what is before it: a
 * receiver that has not read that far does not get it yet.
 */
fault_function int fault_due(struct rule *rule, struct sock *sk, struct sock_state *ss, struct fault_moment *at)
{
	struct rule_list none = {}, *due;
	struct rule_key key = {};
	struct rule_gate *gate = rule_gate();
	__u32 *taken;
	__u64 pair;

	if (!rule || !ss || !at || !gate || rule->bound || rule->state != RULE_ARMED)
		return 0;
	rule->cookie = ss->cookie;
	rule->pos = at->pos;
	rule->asked = at->asked;
	rule->seq = rule->top = sent_number(ss, at->pos);
	rule->act = RULE_HOLD_BACK;
	pair = peer_key(ss);
	key.name = ss->name;
	key.moment = RULE_DUE << 1 | !!(ss->flags & SOCK_F_ACCEPTOR);
	bpf_map_update_elem(&rule_lists, &key, &none, BPF_NOEXIST);
	due = bpf_map_lookup_elem(&rule_lists, &key);
	if (!due)
		return 0;
	rule->bound = 1;
	if (due_add(due, rule->id)) {
		__sync_val_compare_and_swap(&rule->state, RULE_ARMED, RULE_CROWDED);
		return 0;
	}
	/* after that: the receiver looks for the rule after it has told how far it is */
	taken = bpf_map_lookup_elem(&fault_taken, &pair);
	if (rule->effect != RULE_SIGNAL || rule->dry || !taken || *taken == rule->seq)
		rule->phase = RULE_DRAINED;
	else if (!fault_flows(sk, ss, rule->id << RULE_FLOW_SHIFT))
		rule_placed(rule, &gate->flows);
	return 0;
}

/* All before the rule's message may have been acknowledged without a packet that tells of it. */
static __always_inline void fault_drained(struct rule *rule, struct tcp_sock *tp)
{
	if (rule->phase == RULE_WAITS && (__s32)(peek(tp, snd_una) - rule->seq) >= 0)
		__sync_val_compare_and_swap(&rule->phase, RULE_WAITS, RULE_DRAINED);
}

/* A send on an end that a rule is in effect for, or was. */
static __always_inline void fault_count(struct sock_state *ss, struct send_state *send)
{
	struct rule *rule = rule_find(ss->fault_rule);

	if (rule && rule->state == RULE_FIRED && rule->cookie == ss->cookie && send->pos >= rule->pos)
		rule->messages = send->message - rule->message + 1;
	send->sk = 0; /* its return must look at the socket: fault_sent */
}

/*
 * The number of a message was given out to a send that is about to queue its first byte; the socket is locked. FIRED
 * takes the send's place in the order of the process, and the send comes right behind it.
 */
fault_function int fault_send(struct sock *sk, struct sock_state *ss, struct send_state *send)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct rule_key key = {};
	struct fault_moment at;
	struct task_state *state;
	struct rule_list *list;
	__u32 watch, reply;

	if (!ss || !send)
		return 0;
	watch = fault_watch(ss);
	if (ss->fault_rule)
		fault_count(ss, send);
	if (!watch || send->flags & REC_F_CONTINUED)
		return 0;
	reply = !!(ss->flags & SOCK_F_ACCEPTOR);
	at.pos = send->pos;
	at.asked = send->requested;
	at.message = send->message;
	key.name = ss->name;
	key.message = send->message;
	if (watch & 1u << (RULE_RECV << 1 | reply)) {
		key.moment = RULE_RECV << 1 | reply;
		list = bpf_map_lookup_elem(&rule_lists, &key);
		for (int i = 0; list && i < RULE_SHARED; i++)
			fault_due(rule_listed(list, i), sk, ss, &at);
	}
	if (!(watch & 1u << (RULE_SEND << 1 | reply)))
		return 0;
	key.moment = RULE_SEND << 1 | reply;
	list = bpf_map_lookup_elem(&rule_lists, &key);
	if (!list)
		return 0;
	state = task_kept(task);
	if (!state)
		return 0;
	at.order = send->order;
	at.moment = RULE_SEND;
	for (int i = 0; i < RULE_SHARED; i++) {
		fault_fire_send(rule_listed(list, i), sk, ss, &at);
		at.order = 0; /* one place only */
	}
	if (ss->fault_rule)
		fault_count(ss, send);
	send->order = order_draw(task, state);
	return 0;
}

/* A send returned: what came in while it had the lock was worked off. */
fault_function int fault_sent(struct sock *sk, struct sock_state *ss)
{
	struct tcp_sock *tp = sock_tcp(sk);
	struct rule *rule;

	if (!tp || !ss)
		return 0;
	rule = rule_find(ss->fault_rule);
	if (rule && rule->cookie == ss->cookie)
		fault_drained(rule, tp);
	return 0;
}

/* Is the other end on another kernel? Then nobody here gives out the numbers of the messages that arrive. */
static __always_inline int peer_is_foreign(struct sock_state *ss)
{
	__u32 target = ss->target;

	if (ss->flags & SOCK_F_ACCEPTOR)
		return ss->flags & SOCK_F_FOREIGN;
	return !target || !bpf_map_lookup_elem(&rule_boxes, &target);
}

/* The first bytes of such a stream were read. They are those of its first message, the only one whose beginning is known. */
verified_once int fault_read_first(struct sock_state *ss, __u32 reply)
{
	struct rule_key key = { .message = 1, .moment = RULE_RECV << 1 | !!reply };
	struct fault_moment at = { .message = 1, .moment = RULE_RECV };
	struct rule_list *list;

	if (!ss || !peer_is_foreign(ss))
		return 0;
	key.name = ss->name;
	list = bpf_map_lookup_elem(&rule_lists, &key);
	for (int i = 0; list && i < RULE_SHARED; i++)
		fault_fire(rule_listed(list, i), ss, &at);
	return 0;
}

enum fault_read_flag {
	FAULT_READ_PEEKED = 1, /* only looked so far */
	FAULT_READ_FIRST = 2,  /* nothing was read before */
};

/*
 * A program has read up to the byte with that number (or only looked so far), and does not know it before
 * this is over. The messages that arrive are those of the other end.
 */
verified_once int fault_read(struct sock_state *ss, __u32 end, __u32 flags)
{
	__u32 peeked = flags & FAULT_READ_PEEKED;
	struct rule_key key = {};
	struct fault_moment at = {};
	struct rule_list *due;
	__u32 watch, reply;
	__u64 pair;
	__s32 ahead;

	if (!ss)
		return 0;
	watch = fault_watch(ss);
	reply = !(ss->flags & SOCK_F_ACCEPTOR);
	if (!(watch & 1u << (RULE_RECV << 1 | reply)))
		return 0;
	if (flags & FAULT_READ_FIRST)
		fault_read_first(ss, reply);
	pair = end_key(ss);
	if (!peeked)
		bpf_map_update_elem(&fault_taken, &pair, &end, BPF_ANY);
	key.name = ss->name;
	key.moment = RULE_DUE << 1 | reply;
	due = bpf_map_lookup_elem(&rule_lists, &key);
	if (!due)
		return 0;
	at.moment = RULE_RECV;
	for (int i = 0; i < RULE_SHARED; i++) {
		struct rule *rule = rule_listed(due, i);

		if (!rule || !rule->bound)
			continue;
		ahead = (__s32)(end - rule->seq);
		if (ahead >= 0 && !peeked)
			rule->phase = RULE_DRAINED;
		if (ahead <= 0 || rule->state != RULE_ARMED)
			continue;
		at.pos = rule->pos;
		at.asked = rule->asked;
		at.message = rule->message;
		fault_fire(rule, ss, &at);
	}
	return 0;
}

#endif
