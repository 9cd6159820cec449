/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The only writer of the ring buffer. The sequence number is drawn before room is reserved, so that a record that
 * finds none leaves a gap, and is counted. Nobody is woken up for a record: tfj looks regularly, and is called when
 * another quarter of the buffer has filled.
 */
#ifndef BPF_EMIT_BPF_H
#define BPF_EMIT_BPF_H

#include "bpf/maps.bpf.h"

static __always_inline void count(enum counter counter)
{
	__u32 zero = 0;
	struct cpu_state *cpu = bpf_map_lookup_elem(&cpus, &zero);

	if (cpu)
		__sync_fetch_and_add(&cpu->counters[counter], 1);
}

/* Reserves a record and fills its head; the caller fills the rest and calls record_submit. NULL: lost, and counted. */
static __always_inline void *record_reserve(__u32 size, __u16 kind, __u16 flags, __u32 box, __u64 order, __u64 enter_ns,
					    __u64 return_ns, __u64 pid_tgid)
{
	__u32 zero = 0;
	struct cpu_state *cpu = bpf_map_lookup_elem(&cpus, &zero);
	struct rec_head *head;
	__u64 seq;

	if (!cpu)
		return 0;
	/* atomic: a probe in a softirq can come between */
	seq = __sync_fetch_and_add(&cpu->seq, 1) + 1;
	head = bpf_ringbuf_reserve(&records, size, 0);
	if (!head) {
		__sync_fetch_and_add(&cpu->counters[COUNTER_LOST_RING], 1);
		return 0;
	}
	cpu->counters[COUNTER_EMITTED]++;
	head->seq = (__u64)bpf_get_smp_processor_id() << 48 | seq;
	head->enter_ns = enter_ns;
	head->return_ns = return_ns;
	head->order = order;
	head->tgid = pid_tgid >> 32;
	head->tid = pid_tgid;
	head->kind = kind;
	head->flags = flags;
	head->box = box;
	return head;
}

static __always_inline void record_submit(void *record, __u32 size)
{
	__u64 waiting = bpf_ringbuf_query(&records, BPF_RB_AVAIL_DATA);
	__u64 before = waiting - size - 8; /* 8: header of a record in the ring */

	/* this record is counted already; did it cross a mark? */
	bpf_ringbuf_submit(record, (waiting ^ before) & ~(ring_mark - 1) ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

#endif
