/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a packet meets on a connection that a rule is in effect on. `rule->seq` is the number of the first byte of the
 * message; forward is its direction. Numbers are compared as signed differences: they wrap.
 *
 * Before that byte everything is as ever. From that byte on nothing arrives: a packet that carries some of both is
 * cut, its acknowledgement goes on. A FIN stands behind all bytes, so it does not arrive either.
 */
#ifndef BPF_FAULT_FLOW_BPF_H
#define BPF_FAULT_FLOW_BPF_H

#include "bpf/fault_maps.bpf.h"
#include "bpf/packet.bpf.h"

enum flow_fate {
	FLOW_PASS, /* as it is now */
	FLOW_LOST,
	FLOW_FORGET, /* pass, and the rule has nothing more to do here */
};

static __always_inline __s32 after(__u32 a, __u32 b)
{
	return (__s32)(a - b);
}

static __always_inline int rule_is_in_effect(struct rule *rule)
{
	struct rule_gate *gate = rule_gate();
	__u64 now = bpf_ktime_get_ns();

	if (rule->state != RULE_FIRED && rule->state != RULE_FIRING)
		return 0;
	return gate && now < gate->until_ns && (!rule->deadline || now < rule->deadline);
}

/* Bytes from..to met it: each counts once. */
static __always_inline void count_bytes(__u64 *bytes, __u32 *top, __u32 from, __u32 to)
{
	if (after(from, *top) < 0)
		from = *top;
	if (after(to, from) <= 0)
		return;
	__sync_fetch_and_add(bytes, to - from);
	*top = to;
}

static __always_inline void count_hit(struct rule *rule, struct packet *p)
{
	__u32 end = p->seq + p->size;

	__sync_fetch_and_add(&rule->packets, 1);
	count_bytes(&rule->bytes, &rule->top, after(p->seq, rule->seq) > 0 ? p->seq : rule->seq, end);
}

static __always_inline void count_back(struct rule *rule, struct packet *p)
{
	if (!p->size)
		return;
	__sync_fetch_and_add(&rule->collateral_packets, 1);
	count_bytes(&rule->collateral_bytes, &rule->back_top, after(p->seq, rule->back) > 0 ? p->seq : rule->back,
		    p->seq + p->size);
}

/* Does the packet have something of what lies at or behind `limit`? */
static __always_inline int reaches(struct packet *p, __u32 limit)
{
	__u32 end = p->seq + p->size;

	return (p->size && after(end, limit) > 0) || (p->word & FLAG_FIN && after(end, limit) >= 0);
}

/* Nothing at or behind `limit` stays in it. */
static __always_inline void packet_limit(struct __sk_buff *skb, struct packet *p, __u32 limit, __u32 leaves)
{
	__s32 before = after(limit, p->seq);

	packet_trim(skb, p, before > 0 ? before : 0, leaves);
	packet_flags(skb, p, FLAG_FIN | FLAG_PSH | FLAG_URG, 0);
}

/* The other direction while bytes before the message are still on their way: what had not arrived does not any more. */
static __always_inline void back_limit(struct __sk_buff *skb, struct packet *p, struct rule *rule, __u32 leaves)
{
	if (!reaches(p, rule->back))
		return;
	count_back(rule, p);
	if (!rule->back_cut) {
		rule->back_at = after(p->seq, rule->back) > 0 ? p->seq : rule->back;
		rule->back_cut = 1;
	}
	packet_limit(skb, p, rule->back, leaves);
}

static __always_inline int meet_cut(struct __sk_buff *skb, struct packet *p, struct rule *rule, __u32 back,
				    __u32 leaves)
{
	if (back) {
		if (rule->act == RULE_CUT_ONEWAY)
			return FLOW_PASS;
		if (rule->phase != RULE_WAITS) {
			count_back(rule, p);
			return FLOW_LOST;
		}
		/* the acknowledgement of all is the last that is heard */
		if (p->word & FLAG_ACK && after(p->ack, rule->seq) >= 0)
			rule->phase = RULE_DRAINED;
		back_limit(skb, p, rule, leaves);
		return FLOW_PASS;
	}
	if (reaches(p, rule->seq))
		count_hit(rule, p);
	if (p->word & FLAG_RST)
		return FLOW_LOST;
	if (rule->act == RULE_CUT && rule->phase != RULE_WAITS) {
		/* the last word of the handshake may come after the first message was cut */
		return !rule->pos && !p->size && p->seq == rule->seq && p->ack == rule->back && !(p->word & FLAG_FIN) ?
			       FLOW_PASS : FLOW_LOST;
	}
	if (reaches(p, rule->seq))
		packet_limit(skb, p, rule->seq, leaves);
	return FLOW_PASS;
}

static __always_inline int meet_hold(struct __sk_buff *skb, struct packet *p, struct rule *rule, __u32 back,
				     __u32 leaves)
{
	__u64 now;

	if (back || !reaches(p, rule->seq))
		return FLOW_PASS;
	now = bpf_ktime_get_ns();
	if (now >= rule->fired_ns + rule->duration_ns) {
		rule->arrived_ns = now;
		rule->state = RULE_OVER;
		return FLOW_FORGET;
	}
	count_hit(rule, p);
	packet_limit(skb, p, rule->seq, leaves);
	return FLOW_PASS;
}

/* Until the program has read all that is before. */
static __always_inline int meet_hold_back(struct __sk_buff *skb, struct packet *p, struct rule *rule, __u32 back,
					  __u32 leaves)
{
	struct rule_gate *gate = rule_gate();

	if (rule->phase != RULE_WAITS || rule->state != RULE_ARMED || !gate || bpf_ktime_get_ns() >= gate->until_ns)
		return FLOW_FORGET;
	if (!back && reaches(p, rule->seq))
		packet_limit(skb, p, rule->seq, leaves);
	return FLOW_PASS;
}

/* Packets with its first byte, so many times; its other bytes the first time. */
static __always_inline int meet_drop(struct packet *p, struct rule *rule, __u32 back)
{
	__u32 end = p->seq + p->size, last = rule->seq + (__u32)rule->asked, seen = rule->top, from, to;
	int lost;

	if (back || !p->size || after(end, rule->seq) <= 0)
		return FLOW_PASS;
	if (after(end, seen) > 0)
		rule->top = end;
	if (after(p->seq, rule->seq) <= 0) {
		lost = rule->hits < rule->times;
		rule->hits += lost;
	} else {
		lost = after(p->seq, last) < 0 && after(p->seq, seen) >= 0;
	}
	if (!lost) {
		if (rule->hits < rule->times || after(rule->top, last) < 0)
			return FLOW_PASS;
		rule->state = RULE_OVER;
		return FLOW_FORGET;
	}
	from = after(p->seq, rule->seq) > 0 ? p->seq : rule->seq;
	to = after(end, last) < 0 ? end : last;
	__sync_fetch_and_add(&rule->packets, 1);
	__sync_fetch_and_add(&rule->bytes, to - from);
	if (p->size != to - from) {
		__sync_fetch_and_add(&rule->collateral_packets, 1);
		__sync_fetch_and_add(&rule->collateral_bytes, p->size - (to - from));
	}
	return FLOW_LOST;
}

/*
 * Both ends get an RST with the number that they wait for. This packet becomes the one for its receiver. On lo a packet
 * that is to arrive must be sent: it would not be taken for one of this machine's own.
 */
static __always_inline int reset_make(struct __sk_buff *skb, struct packet *p, struct rule *rule, __u32 back,
				      __u32 leaves)
{
	__u32 for_sender = back ? (rule->back_cut ? rule->back_at : p->seq) : p->ack, for_receiver = rule->seq;
	__u32 there = back ? for_sender : for_receiver, here = back ? for_receiver : for_sender;

	packet_trim(skb, p, 0, leaves);
	packet_refuse(skb, p, here, there);
	bpf_clone_redirect(skb, skb->ifindex, leaves ? BPF_F_INGRESS : 0);
	packet_turn(skb, p);
	packet_seq(skb, p, there);
	packet_ack(skb, p, here);
	return FLOW_PASS;
}

/* Whoever still sends has not heard yet. */
static __always_inline int reset_repeat(struct __sk_buff *skb, struct packet *p, __u32 leaves)
{
	if (p->word & FLAG_RST)
		return FLOW_PASS;
	packet_trim(skb, p, 0, leaves);
	packet_refuse(skb, p, p->ack, p->seq);
	bpf_clone_redirect(skb, skb->ifindex, leaves ? BPF_F_INGRESS : 0);
	return FLOW_LOST;
}

static __always_inline int meet_reset(struct __sk_buff *skb, struct packet *p, struct rule *rule, __u32 back,
				      __u32 leaves)
{
	__u32 phase = rule->phase;

	if (phase == RULE_DONE)
		return reset_repeat(skb, p, leaves);
	if (back) {
		if (phase == RULE_WAITS && p->word & FLAG_ACK && after(p->ack, rule->seq) >= 0) {
			count_back(rule, p);
			if (__sync_val_compare_and_swap(&rule->phase, phase, RULE_DONE) == phase)
				return reset_make(skb, p, rule, 1, leaves);
			return FLOW_LOST;
		}
		back_limit(skb, p, rule, leaves);
		return FLOW_PASS;
	}
	if (!reaches(p, rule->seq) && !(p->word & FLAG_RST))
		return FLOW_PASS;
	count_hit(rule, p);
	if (phase == RULE_DRAINED) {
		if (__sync_val_compare_and_swap(&rule->phase, phase, RULE_DONE) == phase)
			return reset_make(skb, p, rule, 0, leaves);
		return FLOW_LOST;
	}
	if (p->word & FLAG_RST)
		return FLOW_LOST;
	packet_limit(skb, p, rule->seq, leaves);
	return FLOW_PASS;
}

/*
 * The sender's process is dead, and its end says so where the message would have begun. What that end then hears must
 * fit what it believes to have sent.
 */
static __always_inline int meet_fin(struct __sk_buff *skb, struct packet *p, struct rule *rule, __u32 back,
				    __u32 leaves)
{
	if (back) {
		if (!(p->word & FLAG_ACK) || after(p->ack, rule->seq) < 0)
			return FLOW_PASS;
		if (after(p->ack, rule->seq) > 0)
			rule->phase = RULE_DONE;
		else if (rule->phase == RULE_WAITS)
			rule->phase = RULE_DRAINED;
		packet_ack(skb, p, rule->seq);
		return FLOW_PASS;
	}
	if (p->word & FLAG_RST) {
		if (rule->phase == RULE_WAITS)
			return FLOW_LOST;
		packet_seq(skb, p, rule->seq + (rule->phase == RULE_DONE));
		return FLOW_PASS;
	}
	if (!reaches(p, rule->seq))
		return FLOW_PASS;
	count_hit(rule, p);
	if (rule->phase == RULE_DONE)
		return FLOW_LOST;
	packet_limit(skb, p, rule->seq, leaves);
	if (after(p->seq, rule->seq) > 0)
		packet_seq(skb, p, rule->seq);
	if (p->seq + p->size == rule->seq) /* else some of what is before it had to be left out, and is sent again */
		packet_flags(skb, p, 0, FLAG_FIN | FLAG_ACK);
	return FLOW_PASS;
}

/* Its process was killed silently: what it has sent goes on, but nobody hears that it ends. */
static __always_inline int meet_quiet(struct __sk_buff *skb, struct packet *p, __u32 back)
{
	if (back)
		return FLOW_PASS;
	if (p->word & FLAG_RST)
		return FLOW_LOST;
	packet_flags(skb, p, FLAG_FIN, 0);
	return FLOW_PASS;
}

/* Not static: so the verifier goes through it once, not for each call. */
__noinline int flow_meet(struct __sk_buff *skb, struct packet *p, __u32 entry, __u32 leaves)
{
	struct rule *rule = rule_find(entry >> RULE_FLOW_SHIFT);
	__u32 back = entry & RULE_FLOW_BACK;

	if (!rule || !p)
		return FLOW_FORGET;
	if (p->word & FLAG_SYN) {
		if (p->word & FLAG_ACK)
			return entry & RULE_FLOW_QUIET ? FLOW_FORGET : FLOW_PASS;
		/* another connection with the same addresses and ports */
		if (!(entry & RULE_FLOW_QUIET))
			rule->phase = RULE_REPLACED;
		return FLOW_FORGET;
	}
	if (rule->phase == RULE_REPLACED)
		return FLOW_FORGET;
	if (rule->act == RULE_HOLD_BACK && !(entry & RULE_FLOW_QUIET))
		return meet_hold_back(skb, p, rule, back, leaves);
	if (!rule_is_in_effect(rule))
		return FLOW_FORGET;
	if (entry & RULE_FLOW_QUIET)
		return meet_quiet(skb, p, back);
	switch (rule->act) {
	case RULE_CUT:
	case RULE_CUT_ONEWAY:
		return meet_cut(skb, p, rule, back, leaves);
	case RULE_DROP:
		return meet_drop(p, rule, back);
	case RULE_HOLD:
		return meet_hold(skb, p, rule, back, leaves);
	case RULE_RESET:
		return meet_reset(skb, p, rule, back, leaves);
	case RULE_FIN:
		return meet_fin(skb, p, rule, back, leaves);
	}
	return FLOW_PASS;
}

#endif
