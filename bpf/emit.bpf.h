/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The only writer of the ring buffer. The sequence number is drawn before room is reserved, so that
 * a record that finds none leaves a gap, and is counted. Nobody is woken up for a record: tfj looks
 * regularly, and is called once in so many records that the buffer cannot have filled since. Calls
 * of helpers are what a probe costs: none is made that can be avoided.
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

/*
 * Reserves a record and fills its head; the caller fills the rest and calls record_submit. task
 * NULL: no task. Returns NULL when the record is lost, and counted.
 */
static __always_inline void *record_reserve(__u32 size, __u16 kind, __u16 flags, __u32 box,
					    __u64 order, __u64 enter_ns, __u64 return_ns,
					    struct task_struct *task)
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
	if (seldom(!head)) {
		__sync_fetch_and_add(&cpu->counters[COUNTER_LOST_RING], 1);
		return 0;
	}
	__sync_fetch_and_add(&cpu->counters[COUNTER_EMITTED], 1);
	head->seq = (__u64)bpf_get_smp_processor_id() << 48 | seq;
	head->enter_ns = enter_ns;
	head->return_ns = return_ns;
	head->order = order;
	head->tgid = task ? task->tgid : 0;
	head->tid = task ? task->pid : 0;
	head->kind = kind;
	head->flags = flags;
	head->box = box & ~BOX_GUEST;
	return head;
}

/*
 * Puts out a record that lies whole in memory of the caller's, of any length: its head lacks only seq.
 */
static __always_inline void record_output(struct rec_head *head, __u64 size, __u64 wake)
{
	__u32 zero = 0;
	struct cpu_state *cpu = bpf_map_lookup_elem(&cpus, &zero);
	__u64 seq;

	if (!cpu)
		return;
	seq = __sync_fetch_and_add(&cpu->seq, 1) + 1;
	head->seq = (__u64)bpf_get_smp_processor_id() << 48 | seq;
	if (bpf_ringbuf_output(&records, head, size, wake ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP))
		__sync_fetch_and_add(&cpu->counters[COUNTER_LOST_RING], 1);
	else
		__sync_fetch_and_add(&cpu->counters[COUNTER_EMITTED], 1);
}

static __always_inline void record_submit(void *record)
{
	struct rec_head *head = record;

	bpf_ringbuf_submit(record, head->seq & ring_mask ? BPF_RB_NO_WAKEUP : BPF_RB_FORCE_WAKEUP);
}

#endif
