/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inside the reading of an experiment file: shared by experiment.c (the file) and
 * experiment_process.c (one process of it) and experiment_attach.c, and by nobody else. Each function takes a node and
 * fails with a complaint at its place.
 */
#ifndef COLLECTOR_EXPERIMENT_PART_H
#define COLLECTOR_EXPERIMENT_PART_H

#include <stdbool.h>

#include "collector/experiment.h"
#include "collector/yaml.h"

/* What every part of the reading needs. */
struct reading {
	struct yaml *yaml;
	struct experiment *x;
	char *folder; /* of the file, absolute */
	char *given;  /* what `path` says, for complaints: "a, b, " */
	bool elsewhere; /* what the file names may be on other machines */
	struct error *e;
};

/* -ENOMEM. */
int read_no_memory(const struct reading *r);

/* A name as it may stand in a label; `what` says of what. */
int read_name(const struct reading *r, int node, const char *what, char **ret_name);

/* The name of a box that the file lists. */
int read_box(const struct reading *r, int node, char **ret_box);

/* A program that exists, and its arguments. */
int read_run(const struct reading *r, int node, char ***ret_run);

/* A process, or a workload, which neither waits to be ready nor is told to stop. */
int read_process(const struct reading *r, int node, bool is_workload,
		 struct experiment_process *process);

/* The network namespace of a box. */
int read_netns(const struct reading *r, int node, const char *box, char **ret_netns);

/* The container that a box is: what stands for its network namespace then. */
int read_container(const struct reading *r, int node, const char *box, char **ret_netns);

/* As *r, for what is in that box: programs in a container are not those of this machine. */
struct reading reading_in(const struct reading *r, const char *box);

/* Which process in that box is to be attached. *ret_attach is set also on failure. */
int read_attach(const struct reading *r, int node, const char *box, struct experiment_attach **ret_attach);
void attach_free(struct experiment_attach *attach);

#endif
