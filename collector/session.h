/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What one `bop run` holds: a private directory with the socket, the agent behind it, the user's signals. Runs
 * experiments with them, one after the other, into the store.
 *
 * Failures: an error of the surroundings (no agent, store cannot be written at the start of a run) is returned; what
 * goes wrong once a run has a number becomes its outcome and is stored with it.
 */
#ifndef COLLECTOR_SESSION_H
#define COLLECTOR_SESSION_H

#include "collector/course.h"
#include "collector/experiment.h"
#include "collector/store.h"

struct session;

/*
 * Sweeps what dead sessions left, starts the agent and waits until it has said hello. x: whose boxes that are there the agent
 * is to serve; NULL: none. faults: some run will have a plan. -EINTR: the user stopped it.
 */
int session_open(const struct experiment *x, bool faults, struct session **ret_session, struct error *e);
void session_close(struct session *session);

/* Runs it once. plan: numbered; NULL: no faults. keep: course_keep. ret is filled also when the run ended badly; free with course_result_fini(). */
int session_run(struct session *session, struct store *store, const struct experiment *experiment,
		const struct plan *plan, unsigned keep, struct course_result *ret, struct error *e);

/* The user asked to stop: no more runs. */
bool session_interrupted(const struct session *session);
/* The agent is gone: no more runs. */
bool session_agent_lost(const struct session *session);

#endif
