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

#include "collector/experiment.h"
#include "collector/run.h"
#include "collector/show.h"
#include "collector/store.h"

struct session;

/* Sweeps what dead sessions left, starts the agent and waits until it has said hello. -EINTR: the user stopped it. */
int session_open(struct session **ret_session, struct error *e);
void session_close(struct session *session);

struct session_run {
	struct run *run; /* without its processes; as stored, or, if its end could not be written, as it would have been; NULL: cannot be read */
	struct show_timing timing;
	enum outcome outcome;
	uint64_t id;
	char reason[512];
	char directory[256]; /* kept; else empty */
};

/* Runs it once. ret is filled also when the run ended badly; free with session_run_fini(). */
int session_run(struct session *session, struct store *store, const struct experiment *experiment, bool keep,
		struct session_run *ret, struct error *e);
void session_run_fini(struct session_run *run);

/* The user asked to stop: no more runs. */
bool session_interrupted(const struct session *session);
/* The agent is gone: no more runs. */
bool session_agent_lost(const struct session *session);

#endif
