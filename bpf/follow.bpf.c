// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Threads and children that a task had before it was added: they join, whenever tfj reads this. Whoever is made after its
 * maker has joined joins by itself (task.bpf.c); one that was made before is found here by a later reading at the latest.
 *
 * The kernel goes through tasks by their numbers, which is by age until numbers are used again.
 */
#include "bpf/fault.h"
#include "bpf/file.bpf.h"
#include "bpf/scope.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

static __always_inline int is_ending(struct task_struct *task)
{
	struct signal_struct *signal = task->signal;

	/* a first thread can end long before its process */
	return task->pid == task->tgid ? signal->live.counter == 0 : task->flags & PF_EXITING;
}

/*
 * Is it waiting for bytes of a connection? If it runs at this moment, these are the registers of its last call: a yes is a
 * perhaps.
 */
static __always_inline __u32 unseen_of(struct task_struct *task)
{
	struct sock *sk = call_waits(task_call(task)) ? fd_sock(task, regs_arg1(task_regs(task))) : 0;

	return sk && sock_is_tcp(sk) ? UNSEEN_WAITS : UNSEEN_NONE;
}

SEC("iter/task")
int on_follow(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task, *leader;
	struct task_state *process, *made;
	struct followed row = {};
	int thread;

	if (!task || is_ending(task))
		return 0;
	made = task_find(task);
	if (made && made->seed.older) {
		made->seed.older = 0;
		made->unseen = unseen_of(task);
	}
	if (made)
		return 0;
	thread = task->pid != task->tgid;
	/* who must be traced for this one to be: its first thread, or that of its parent */
	leader = thread ? task->group_leader : task->real_parent->group_leader;
	process = leader ? task_find(leader) : 0;
	if (!process || process->seed.ignored)
		return 0;
	made = task_create(task, process->seed.box, 0);
	if (!made)
		return 0;
	made->unseen = unseen_of(task);
	row.tgid = task->tgid;
	row.tid = task->pid;
	row.parent_tgid = task->real_parent->tgid;
	row.ordinal = task_number(task, process);
	made->seed.label = thread ? process->seed.label : fault_label_child(process->seed.label, row.ordinal);
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row)); /* there is room: tfj asks for less than the kernel has */
	return 0;
}
