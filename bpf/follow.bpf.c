// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Threads and children that a task had before it was added: they join, whenever tfj reads this. Whoever is made after its
 * maker has joined joins by itself (task.bpf.c); one that was made before is found here by a later reading at the latest.
 */
#include "bpf/scope.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

/* Who must be traced for this one to be: its first thread, or that of its parent. */
static __always_inline struct task_state *leader_state(struct task_struct *task)
{
	struct task_struct *leader = task->pid != task->tgid ? task->group_leader : task->real_parent->group_leader;

	return leader ? task_find(leader) : 0;
}

static __always_inline int is_ending(struct task_struct *task)
{
	struct signal_struct *signal = task->signal;

	/* a first thread can end long before its process */
	return task->pid == task->tgid ? signal->live.counter == 0 : task->flags & PF_EXITING;
}

SEC("iter/task")
int on_follow(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_state *leader;
	struct followed row = {};

	if (!task || task_find(task) || is_ending(task))
		return 0;
	leader = leader_state(task);
	if (!leader || leader->seed.ignored)
		return 0;
	row.tgid = task->tgid;
	row.tid = task->pid;
	row.parent_tgid = task->real_parent->tgid;
	row.helper = task->pid != task->tgid && task->flags & PF_IO_WORKER;
	row.start_ns = task->start_time;
	/* without room for the row, the kernel asks for this task again */
	if (!bpf_seq_write(ctx->meta->seq, &row, sizeof(row)))
		task_create(task, leader->seed.box, 0);
	return 0;
}
