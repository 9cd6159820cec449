/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An experiment file (YAML, docs/experiment.md): what to run, in which boxes, and how to tell whether it went well.
 * Reading checks everything that can be checked without starting anything; every complaint carries file, line and
 * column, and says what would have been right.
 */
#ifndef COLLECTOR_EXPERIMENT_H
#define COLLECTOR_EXPERIMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

/* Which process that runs already is meant; one of the first four is set. */
struct experiment_attach {
	uint32_t pid;
	char *cgroup, *executable; /* executable: absolute */
	uint32_t port; /* that it listens on */
	char *container; /* whose first process it is */
	char *place; /* in the file, "quorum.yaml:4:11" */
	char *text;  /* the same in words */
};

struct experiment_process {
	char *name, *box;
	struct experiment_attach *attach; /* NULL: the run starts it, as follows */
	char **run;   /* argv, NULL-terminated; run[0] resolved to an absolute path */
	char *user;   /* NULL: as bop */
	char *directory; /* an existing folder, absolute; NULL: its own folder below the run's */
	char **env;   /* NAME=value, NULL-terminated, never NULL */
	int stop_signal;     /* default SIGTERM */
	uint32_t ready_port; /* ready: {listen: PORT}; 0: none */
	char **ready_run;    /* ready: {run: [...]}: ready when it exits 0; NULL: none */
	int line;	     /* in the file */
};

struct experiment_role {
	char *name;
	char **members; /* process names, NULL-terminated */
};

struct experiment {
	char *name;
	char *path;   /* of the file, absolute */
	char *text;   /* the file itself: kept with every run */
	char **boxes; /* NULL-terminated */
	size_t n_boxes;
	char **agents; /* by box: the agent that is to serve it; NULL: whoever does */
	char **netns;  /* by box: the network namespace, or container:ID, that it is, as for tfj --box; NULL: all are made for the run */
	char *search_path; /* PATH for every program: `path` entries, the file's folder, then ours */
	struct experiment_process *processes; /* in start order: those that are attached first */
	size_t n_processes;
	struct experiment_process *workloads; /* one at least; started together, after all processes are ready */
	size_t n_workloads;
	struct experiment_role *roles;
	size_t n_roles;
	char *check_box; /* box the check runs in: default the first workload's */
	char **check_run; /* NULL: the workloads' exit statuses decide */
	uint64_t timeout_ns;	   /* from the start of the workload to the end of the check; default 60 s */
	uint64_t ready_timeout_ns; /* for each process; default 10 s */
	uint64_t grace_ns;	   /* from the stop signal to SIGKILL; default 2 s */
	bool deferred;		   /* send: what was recorded is sent after the run, not while it goes on */
	uint32_t transports;	/* to trace: bits 1 << enum transport; 0: those that cost nothing to speak of */
	uint32_t content_bytes; /* of each message to keep; default 0: nothing */
	char **redact;		/* what in them is hidden: patterns that lib/redact.h takes, NULL-terminated; NULL: none */
};

/* Returns 0, -ENOENT/-EACCES/... or -EINVAL, with one line in e ("quorum.yaml:4:11: ..."). */
int experiment_read(const char *path, struct experiment **ret_experiment, struct error *e);
/*
 * The same from the text of a file, for boxes that may be on other machines: that programs, folders and users exist is
 * not checked, and programs without a slash are left for the agent to look up. name: for complaints; path: absolute;
 * text ends with a zero byte, which size does not count.
 */
int experiment_parse(const char *name, const char *path, const char *text, size_t size,
		     struct experiment **ret_experiment, struct error *e);
void experiment_free(struct experiment *experiment);

/* The process or workload with that name, of n bytes, among those read so far, or NULL. */
const struct experiment_process *experiment_find(const struct experiment *experiment, const char *name, size_t n);

/* words: NULL-terminated, as the lists above; NULL: there are none. */
bool words_contain(char *const *words, const char *word);

/* live or deferred; -EINVAL for any other word. */
int experiment_send(const char *word, bool *ret_deferred);

/*
 * Only the roles, from the text that was kept with a run: what else was in it may be gone or newer than this program.
 * Nothing about them is checked. *ret_roles NULL: there are none.
 */
int experiment_roles_read(const char *path, const char *text, struct experiment_role **ret_roles, size_t *ret_n,
			  struct error *e);
void experiment_roles_free(struct experiment_role *roles, size_t n);

#endif
