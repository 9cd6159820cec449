// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Rules at packets. Where a packet arrives in a box its fate is decided, so that its sender knows of nothing; where
 * it leaves only if it goes to no box that we look at, and for connects that are refused. A rule finds the packets of
 * its connection by addresses and ports, and what it does with them is decided by sequence numbers: never by how many
 * came, or how large.
 *
 * Verdicts are those that mean the same under clsact and TCX. To lose a packet that leaves without telling its sender,
 * it is sent to a device that does not exist.
 */
#include "bpf/fault_maps.bpf.h"
#include "bpf/fault_flow.bpf.h"
#include "bpf/fault_pair.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum { TC_NEXT = -1, TC_SHOT = 2, NO_DEVICE = 0x7fffffff };

static __always_inline int packet_lost(__u32 leaves)
{
	return leaves ? bpf_redirect(NO_DEVICE, 0) : TC_SHOT;
}

/* Rules of its connection, one after the other. */
static __always_inline int flow_meets(struct __sk_buff *skb, __u32 box, __u32 leaves)
{
	struct rule_flow_key key = {};
	struct rule_flow *flow;
	struct packet p = {};

	if (packet_read(skb, &p, &key))
		return FLOW_PASS;
	key.box = leaves ? box | RULE_LEAVES : box;
	flow = bpf_map_lookup_elem(&rule_flows, &key);
	if (!flow)
		return FLOW_PASS;
	for (int i = 0; i < RULE_FLOW; i++) {
		__u32 entry = flow->rules[i];

		if (!entry)
			continue;
		switch (flow_meet(skb, &p, entry, leaves)) {
		case FLOW_LOST:
			return FLOW_LOST;
		case FLOW_FORGET:
			__sync_val_compare_and_swap(&flow->rules[i], entry, 0);
		}
	}
	return FLOW_PASS;
}

SEC("tc")
int fault_arrives(struct __sk_buff *skb)
{
	struct rule_gate *gate = rule_gate();
	__u32 box = skb->cb[0];

	if (!gate)
		return TC_NEXT;
	if (gate->walls && pair_meets(skb, box, 0, gate))
		return TC_SHOT;
	if (gate->flows && flow_meets(skb, box, 0) == FLOW_LOST)
		return TC_SHOT;
	return TC_NEXT;
}

/* A connect that is to be refused is known by its socket. */
static __always_inline int connect_meets(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	__u32 *id = cookie ? bpf_map_lookup_elem(&rule_connects, &cookie) : 0;
	struct rule *rule = id ? rule_find(*id) : 0;
	struct rule_flow_key key = {};
	struct packet p = {};

	if (!rule || !rule_is_in_effect(rule) || packet_read(skb, &p, &key))
		return TC_NEXT;
	if ((p.word & (FLAG_SYN | FLAG_ACK)) != FLAG_SYN)
		return TC_NEXT;
	__sync_fetch_and_add(&rule->packets, 1);
	if (rule->effect == RULE_REFUSE_SILENT)
		return packet_lost(1);
	packet_trim(skb, &p, 0, 1);
	packet_refuse(skb, &p, 0, p.seq + 1);
	/* lo takes it to where it came from anyway */
	return skb->ifindex == 1 ? TC_NEXT : bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

SEC("tc")
int fault_leaves(struct __sk_buff *skb)
{
	struct rule_gate *gate = rule_gate();
	__u32 box = skb->cb[0];
	int verdict;

	if (!gate)
		return TC_NEXT;
	if (gate->connects) {
		verdict = connect_meets(skb);
		if (verdict != TC_NEXT)
			return verdict;
	}
	if (gate->walls && pair_meets(skb, box, 1, gate))
		return packet_lost(1);
	if (gate->flows && flow_meets(skb, box, 1) == FLOW_LOST)
		return packet_lost(1);
	return TC_NEXT;
}
