/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SYNs of a run that has boxes on several kernels say which connection of whom they begin, so that the kernel that accepts it knows
 * what it is called (bpf/syn.bpf.c). Only sockets of programs that the run started do, and are looked at.
 */
#ifndef TFJ_SYN_H
#define TFJ_SYN_H

#include "lib/error.h"

struct syn;
struct tracer;

/* cgroup: a descriptor of the run's directory, borrowed. On failure, a reason of this kernel, nothing is changed. */
int syn_open(struct tracer *tracer, int cgroup, struct syn **ret_syn, struct error *e);
void syn_close(struct syn *syn); /* NULL is fine */

#endif
