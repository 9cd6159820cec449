/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A thread other than the first executes a program: the first thread, with the process's counters, is about to go. */
#ifndef BPF_EXEC_BPF_H
#define BPF_EXEC_BPF_H

#include "bpf/scope.bpf.h"

/* The last moment at which the counters can be had. The task is the current one. */
static __always_inline int exec_prepared(struct task_struct *task)
{
	struct task_state *state = task_find(task), *process;

	if (!state || task->pid == task->tgid)
		return 0;
	process = process_find(task, state);
	if (process == state)
		return 0;
	state->children = process->children;
	state->threads = process->threads;
	state->last_order = process->order;
	return 0;
}

#endif
