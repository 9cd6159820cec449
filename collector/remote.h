/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `bop run --server`: asks a server to run an experiment on its agents, as often as wanted, and waits for each end. */
#ifndef COLLECTOR_REMOTE_H
#define COLLECTOR_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/course.h"

struct remote;

/* url: "" for the usual one. The file is read here, and sent; what is wrong in it the server says. */
int remote_open(const char *url, const char *path, struct remote **ret_remote, struct error *e);
void remote_close(struct remote *remote);

/*
 * Runs it once. plan: its lines are sent, and checked by the server. send: live or deferred, NULL: as the file says. ret->run has its
 * row and nothing else; free with course_result_fini(). An error: there is no run, or the server is gone.
 */
int remote_run(struct remote *remote, const struct plan *plan, bool keep, const char *send, struct course_result *ret,
	       struct error *e);

/* Where the server keeps the last run; NULL: it did not say. What remote_run() gave out of prints lives as long. */
const char *remote_store(const struct remote *remote);

bool remote_interrupted(const struct remote *remote);

#endif
