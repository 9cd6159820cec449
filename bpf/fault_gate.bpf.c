// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What stands at a box's devices: as long as no rule acts on packets they pass by at once. Loaded for each box with its
 * number, so that no packet has to be asked where it is. Everything else is in fault_packet.bpf.c, loaded once.
 */
#include "bpf/fault_maps.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define TC_NEXT (-1) /* whoever comes after us decides: UNSPEC under clsact, NEXT under TCX */

const volatile __u32 gate_box = 0;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} fault_programs SEC(".maps");

SEC("tc")
int bop_fault_in(struct __sk_buff *skb)
{
	struct rule_gate *gate = rule_gate();

	if (gate && (gate->flows || gate->walls)) {
		skb->cb[0] = gate_box;
		bpf_tail_call(skb, &fault_programs, 0);
	}
	return TC_NEXT;
}

SEC("tc")
int bop_fault_out(struct __sk_buff *skb)
{
	struct rule_gate *gate = rule_gate();

	if (gate && (gate->flows || gate->walls || gate->connects)) {
		skb->cb[0] = gate_box;
		bpf_tail_call(skb, &fault_programs, 1);
	}
	return TC_NEXT;
}
