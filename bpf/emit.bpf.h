/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The only writer of the ring buffer and of the lanes. The sequence number is drawn before room is
 * reserved, so that a record that finds none leaves a gap, and is counted. Nobody is woken up for a
 * record: tfj looks regularly, and is called once in so many records that the buffer cannot have
 * filled since. Calls of helpers are what a probe costs: none is made that can be avoided.
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

static __always_inline void head_fill(struct rec_head *head, __u64 seq, __u16 kind, __u16 flags, __u32 box, __u64 order,
				      __u64 enter_ns, __u64 return_ns, struct task_struct *task)
{
	head->seq = (__u64)bpf_get_smp_processor_id() << 48 | seq;
	head->enter_ns = enter_ns;
	head->return_ns = return_ns;
	head->order = order;
	head->tgid = task ? task->tgid : 0;
	head->tid = task ? task->pid : 0;
	head->kind = kind;
	head->flags = flags;
	head->box = box & ~BOX_GUEST;
}

/* Room in the ring buffer for a record whose number was drawn; NULL: it is lost, and counted. */
static __always_inline void *ring_reserve(struct cpu_state *cpu, __u32 size)
{
	void *record = bpf_ringbuf_reserve(&records, size, 0);

	if (seldom(!record))
		__sync_fetch_and_add(&cpu->counters[COUNTER_LOST_RING], 1);
	else
		__sync_fetch_and_add(&cpu->counters[COUNTER_EMITTED], 1);
	return record;
}

/*
 * Reserves a record and fills its head; the caller fills the rest and calls record_submit. task
 * NULL: no task. Returns NULL when the record is lost, and counted. return_ns: read in this very run
 * of a program, before this: by it tfj puts the records of all rings in order.
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
	head = ring_reserve(cpu, size);
	if (head)
		head_fill(head, seq, kind, flags, box, order, enter_ns, return_ns, task);
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

/* A place in this CPU's lane; NULL: there is none. A probe in a softirq can come between, and take it. */
static __always_inline struct lane_slot *lane_claim(__u64 *ret_turn)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct lane *lane = bpf_map_lookup_elem(&lanes, &cpu);
	__u64 head;

	if (!lane)
		return 0;
	head = *(volatile __u64 *)&lane->head;
	if (head - *(volatile __u64 *)&lane->tail > lane_mask)
		return 0;
	if (__sync_val_compare_and_swap(&lane->head, head, head + 1) != head)
		return 0;
	*ret_turn = head + 1;
	return &lane->slot[head & lane_mask];
}

static __always_inline void transfer_fill(struct rec_transfer *record, const struct rec_transfer *what)
{
	record->cookie = what->cookie;
	record->pos = what->pos;
	record->result = what->result;
	record->message = what->message;
	record->local = 0;
	record->content = what->content;
}

/* Puts out what a send or receive of the current task did, of which `what` says all but the head. */
static __always_inline void transfer_output(const struct rec_transfer *what, __u16 kind, __u16 flags, __u32 box,
					    __u64 order, __u64 enter_ns, __u64 return_ns, struct task_struct *task)
{
	__u32 zero = 0;
	struct cpu_state *cpu = bpf_map_lookup_elem(&cpus, &zero);
	struct rec_transfer *record;
	struct lane_slot *slot = 0;
	__u64 seq, turn = 0;

	if (!cpu)
		return;
	seq = __sync_fetch_and_add(&cpu->seq, 1) + 1;
	if (lane_mask && seq & ring_mask) /* else tfj is to be woken up */
		slot = lane_claim(&turn);
	if (slot) {
		head_fill(&slot->record.head, seq, kind, flags, box, order, enter_ns, return_ns, task);
		transfer_fill(&slot->record, what);
		barrier();
		*(volatile __u64 *)&slot->turn = turn;
		return;
	}
	record = ring_reserve(cpu, sizeof(*record));
	if (!record)
		return;
	head_fill(&record->head, seq, kind, flags, box, order, enter_ns, return_ns, task);
	transfer_fill(record, what);
	record_submit(record);
}

#endif
