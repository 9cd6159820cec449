/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where rules are kept: what the tracer's programs, those at packets and tfj share. All are empty in a run without
 * faults. */
#ifndef BPF_FAULT_MAPS_BPF_H
#define BPF_FAULT_MAPS_BPF_H

#include "bpf/fault.h"
#include "bpf/maps.bpf.h"

#define FAULT_CONNECTIONS 65536

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct rule_gate);
} rule_gates SEC(".maps") __weak;

/* by id */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RULE_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct rule);
} rules SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RULE_MAX * 2);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct rule_key);
	__type(value, struct rule_list);
} rule_lists SEC(".maps") __weak;

/* name of a connection -> for which moments (1 << rule_key.moment) it has rules */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RULE_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} rule_names SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RULE_MAX * 2);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct rule_flow_key);
	__type(value, struct rule_flow);
} rule_flows SEC(".maps") __weak;

/* sockets (cookies) whose SYNs do not get through -> rule */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RULE_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} rule_connects SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct rule_pair);
	__type(value, struct rule_list);
} rule_pairs SEC(".maps") __weak;

/* boxes in which packets that arrive are looked at */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} rule_boxes SEC(".maps") __weak;

/*
 * names of connections by their sequence numbers, as the accepted end has them: from the connector, which tells once, to
 * its peer, which takes it out. Nobody may ever ask: the other end can be in no box.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FAULT_CONNECTIONS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u64);
} fault_keys SEC(".maps") __weak;

/* of those, what connectors left behind that ended before the other end had looked: it may still do. About the newest so many */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u64);
} fault_left SEC(".maps") __weak;

/* the same key, of the reading end -> number of the next byte that its program will read */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FAULT_CONNECTIONS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} fault_taken SEC(".maps") __weak;

/* accepted sockets (cookies) whose connection has a rule for its accept -> name */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FAULT_CONNECTIONS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u64);
} fault_accepts SEC(".maps") __weak;

/* sockets (cookies) that connect to a box of the run -> fault_connector(), which their SYNs are to tell */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u64);
} syn_connectors SEC(".maps") __weak;

/* names of connections by their sequence numbers, as the accepted end has them: as their SYNs told */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FAULT_CONNECTIONS);
	__type(key, __u64);
	__type(value, __u64);
} syn_names SEC(".maps") __weak;

static __always_inline struct rule_gate *rule_gate(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&rule_gates, &zero);
}

static __always_inline struct rule *rule_find(__u32 id)
{
	return bpf_map_lookup_elem(&rules, &id);
}

/* Set by tfj: counts up whenever rules come or go. 0: there are none, and never were in this run. */
extern volatile __u32 faulting;

/* Set by tfj: what `faulting` was when the maps were emptied last. */
extern volatile __u32 fault_since;

/* Set by tfj: SYNs of this run tell who connects. */
extern volatile __u32 syn_tells;

/*
 * Set by tfj between open and load. 0: there never will be rules, and what asks for them is no part of the programs.
 */
extern const volatile __u32 fault_able;

static __always_inline int faults_on(void)
{
	return fault_able && faulting;
}

#endif
