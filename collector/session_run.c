/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One run of a session, from its row in the store to its seal: one thread, one loop over the agent's socket, its end,
 * the user's signals and the time.
 *
 * The first signal ends the run in order, the second kills the agent at once; either way the run is sealed. The
 * agent's death ends it as an error. What a dead agent left is removed by `tfj clean`.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/conduct.h"
#include "collector/ingest.h"
#include "collector/progress.h"
#include "collector/session_inside.h"
#include "lib/clock.h"

#define DEAD_DRAIN_NS (CLOCK_SECOND_NS / 5)
#define BURST 256
/* Batches that come within this time share a commit: an fsync each would cost more than all the rest. */
#define COMMIT_NS (CLOCK_SECOND_NS / 100)

/* What session_run() has in hand. */
struct active {
	struct session *session;
	struct store *store;
	struct conduct *conduct;
	struct ingest ingest;
	uint64_t commit_at; /* UINT64_MAX: nothing waits */
	struct progress progress;
	struct claim claim;
	char *warnings;
	bool store_failed, unreachable;
};

/* An order that cannot be sent is found out about in the loop: by then it may be clear that the agent died, and how. */
static int on_order(void *arg, const struct message_order *order, struct error *e)
{
	struct message message = { .kind = MESSAGE_ORDER, .order = *order };
	struct active *active = arg;

	active->unreachable |= server_send(active->session->server, &message, NULL) < 0;
	return 0;
}

static void on_warning(struct active *active, const char *text)
{
	char *warnings;

	progress_clear(&active->progress);
	fprintf(stderr, "bop: warning: %s\n", text);
	if (asprintf(&warnings, "%s%s%s", active->warnings ? active->warnings : "", active->warnings ? "\n" : "", text) < 0)
		return;
	free(active->warnings);
	active->warnings = warnings;
}

/* What cannot be kept ends the run. */
static void on_broken(struct active *active, const struct error *e)
{
	if (active->store_failed)
		return;
	active->store_failed = true;
	conduct_fail(active->conduct, e->text, clock_monotonic_ns());
}

static void on_message(struct active *active, const struct message *message)
{
	struct error e;

	if (message->kind == MESSAGE_BATCH) {
		if (!active->store_failed &&
		    ingest_put(&active->ingest, message->batch.bytes, message->batch.size, &e) < 0)
			on_broken(active, &e);
	} else if (message->kind == MESSAGE_PROGRESS) {
		active->progress.events = message->progress;
	} else if (message->kind == MESSAGE_WARNING) {
		on_warning(active, message->text);
	}
	conduct_on_message(active->conduct, message, clock_monotonic_ns());
}

static void commit(struct active *active)
{
	struct message message = { .kind = MESSAGE_ACK };
	struct error e;

	active->commit_at = UINT64_MAX;
	if (active->store_failed)
		return;
	message.ack.run = active->ingest.run;
	if (ingest_flush(&active->ingest, &message.ack.number, &e) < 0)
		on_broken(active, &e);
	else if (message.ack.number)
		server_send(active->session->server, &message, NULL); /* unsent: the agent sends the batches again */
}

/* Takes what the agent sent, up to a bound. Returns how many messages there were. */
static unsigned drain(struct active *active)
{
	const struct message *message;
	unsigned n = 0;
	struct error e;
	int err = 1;

	while (n < BURST && !ingest_full(&active->ingest)) {
		err = server_receive(active->session->server, &message, &e);
		if (err <= 0)
			break;
		n++;
		on_message(active, message);
	}
	if (active->ingest.owed && active->commit_at == UINT64_MAX)
		active->commit_at = clock_monotonic_ns() + COMMIT_NS;
	if (ingest_full(&active->ingest) || clock_monotonic_ns() >= active->commit_at || conduct_done(active->conduct))
		commit(active);
	if (err < 0)
		conduct_agent_lost(active->conduct, OUTCOME_ERROR, e.text);
	return n;
}

static void on_agent_end(struct active *active)
{
	uint64_t until = clock_monotonic_ns() + DEAD_DRAIN_NS;
	zmq_pollitem_t item = server_poll_item(active->session->server);
	char how[64], reason[128];

	agentproc_wait(&active->session->agent, SESSION_QUIT_NS);
	/* what it sent before is still on its way through the socket */
	while (clock_monotonic_ns() < until && (drain(active) || zmq_poll(&item, 1, 20) > 0))
		;
	commit(active);
	status_text(active->session->agent.status, how, sizeof(how));
	snprintf(reason, sizeof(reason), "the agent died: %s", how);
	active->session->agent_lost = true;
	conduct_agent_lost(active->conduct, OUTCOME_ERROR, reason);
}

static void on_signals(struct active *active, unsigned before)
{
	struct session *session = active->session;

	if (session->signals == before)
		return;
	progress_clear(&active->progress);
	if (session->signals >= 2) {
		session_agent_kill(session);
		drain(active);
		commit(active);
		conduct_agent_lost(active->conduct, OUTCOME_INTERRUPTED, "stopped at once");
		return;
	}
	fprintf(stderr, "bop: stopping; interrupt again to stop at once\n");
	conduct_interrupt(active->conduct, clock_monotonic_ns());
}

static void loop(struct active *active)
{
	zmq_pollitem_t items[ITEMS];
	uint64_t now = clock_monotonic_ns(), until;
	unsigned signals;

	conduct_begin(active->conduct, now);
	while (!conduct_done(active->conduct)) {
		now = clock_monotonic_ns();
		progress_show(&active->progress, conduct_phase(active->conduct), now);
		until = conduct_deadline(active->conduct);
		if (active->progress.terminal && until > now + PROGRESS_TICK_NS)
			until = now + PROGRESS_TICK_NS;
		if (until > active->commit_at)
			until = active->commit_at;
		signals = active->session->signals;
		session_wait(active->session, until, items);
		on_signals(active, signals);
		drain(active);
		if (conduct_done(active->conduct))
			break;
		if (items[ITEM_AGENT].revents || (active->unreachable && agentproc_wait(&active->session->agent, CLOCK_SECOND_NS)))
			on_agent_end(active);
		else if (active->unreachable)
			conduct_agent_lost(active->conduct, OUTCOME_ERROR, "the agent cannot be reached any more");
		conduct_on_time(active->conduct, clock_monotonic_ns());
	}
	commit(active);
	/* Without acknowledgements the agent would not quit: it keeps what nobody took. */
	if ((conduct_result(active->conduct)->agent_lost || active->store_failed) && !active->session->agent_lost)
		session_agent_kill(active->session);
	progress_clear(&active->progress);
}

static int row_create(struct active *active, const struct experiment *x, struct store_run *row, struct error *e)
{
	const struct message_hello *hello = server_agent(active->session->server);
	struct store_stream stream = {
		.host = hello->host,
		.boot_id = hello->boot_id,
		.kernel = hello->kernel,
		.backend = hello->backend,
		.monotonic_ns = hello->monotonic_ns,
		.realtime_ns = hello->realtime_ns,
	};
	int err;

	memcpy(stream.session, hello->session, sizeof(stream.session));
	*row = (struct store_run){
		.experiment = x->name,
		.path = x->path,
		.text = x->text,
		.version = BOP_VERSION,
		.started_ns = clock_realtime_ns(),
		.started_monotonic_ns = clock_monotonic_ns(),
	};
	err = store_owner_self(&row->owner, e);
	if (!err)
		err = store_begin(active->store, e);
	if (err < 0)
		return err;
	err = store_run_create(active->store, row, e);
	if (!err)
		err = store_stream_add(active->store, row->id, &stream, e);
	if (!err)
		err = store_commit(active->store, e);
	if (err < 0)
		store_rollback(active->store);
	else
		ingest_init(&active->ingest, active->store, row->id, stream.number);
	return err;
}

/* Reason, with the last words of the process to blame. */
static void reason_make(const struct conduct_result *result, const struct run *run, char *buf, size_t size)
{
	char *words = result->blame && run ? run_last_words(run, result->blame, 3) : NULL;

	for (char *c = words; c && *c; c++)
		if (*c == '\n')
			*c = '|';
	if (words)
		snprintf(buf, size, "%.200s; its last words: %s", result->reason, words);
	else
		snprintf(buf, size, "%s", result->reason);
	free(words);
}

/* Ends the row of a loaded run as the stored one was, or should have been. */
static void row_end(struct store_run *row, const struct store_run *end)
{
	row->running = false;
	row->incomplete = end->incomplete;
	row->outcome = end->outcome;
	free(row->reason);
	row->reason = end->reason ? strdup(end->reason) : NULL;
	row->duration_ns = end->duration_ns;
	row->events = end->events;
	row->messages = end->messages;
	row->lost = end->lost;
	row->holes = end->holes;
}

/* Reads back what was recorded, counts, and writes the end of the run. */
static void seal(struct active *active, struct store_run *row, struct session_run *ret)
{
	const struct conduct_result *result = conduct_result(active->conduct);
	const struct store_process *processes;
	struct error e;
	int counted;
	size_t n;

	row->duration_ns = clock_monotonic_ns() - row->started_monotonic_ns;
	row->outcome = result->outcome;
	row->warnings = active->warnings;
	row->incomplete = result->agent_lost || (result->began && !ingest_complete(&active->ingest));
	row->messages = row->holes = STORE_UNKNOWN;
	row->events = row->lost = STORE_UNKNOWN;
	if (run_load(active->store, row->id, &ret->run, &e) < 0) {
		snprintf(ret->reason, sizeof(ret->reason), "%s", e.text);
		row->outcome = OUTCOME_ERROR;
	} else {
		counted = run_count(ret->run, row, &e);
		if (!row->incomplete && !result->began) /* nothing ever began to be recorded */
			row->lost = 0;
		reason_make(result, ret->run, ret->reason, sizeof(ret->reason));
		if (counted < 0) { /* no verdict rests on a run that nobody can look at */
			row->outcome = OUTCOME_ERROR;
			snprintf(ret->reason, sizeof(ret->reason), "what was recorded makes no graph: %.400s", e.text);
		}
	}
	row->reason = *ret->reason ? ret->reason : NULL;
	processes = conduct_processes(active->conduct, &n);
	if (store_run_seal(active->store, row, processes, n, &e) < 0) {
		row->outcome = OUTCOME_ERROR;
		row->incomplete = true;
		if (!active->store_failed)
			snprintf(ret->reason, sizeof(ret->reason), "%s", e.text);
		row->reason = ret->reason;
	}
	ret->outcome = row->outcome;
	if (ret->run)
		row_end(ret->run->row, row);
}

static struct show_timing timing_of(const struct conduct_result *result, uint64_t total, uint64_t cpu)
{
	return (struct show_timing){
		.total = total,
		.boxes = result->boxes_ns,
		.ready = result->ready_ns,
		.workload = result->workload_ns,
		.check = result->check_ns,
		.stop = result->stop_ns,
		.cpu = cpu,
	};
}

int session_run(struct session *session, struct store *store, const struct experiment *experiment, bool keep,
		struct session_run *ret, struct error *e)
{
	struct active active = { .session = session, .store = store, .claim = CLAIM_NONE, .commit_at = UINT64_MAX };
	struct conduct_door door = { .order = on_order, .arg = &active };
	struct store_run row;
	struct error cleaning;
	char base[PATH_MAX];
	uint64_t cpu = 0;
	int err;

	*ret = (struct session_run){ .outcome = OUTCOME_ERROR };
	if (!realpath(claim_base(), base))
		return error_set(e, -errno, "%s: %s", claim_base(), strerror(errno));
	err = claim_open(&active.claim, base, keep ? "kept" : "run", NULL, 0711, e);
	if (err < 0)
		goto out;
	err = row_create(&active, experiment, &row, e);
	if (err < 0)
		goto out;
	ret->id = row.id;
	err = conduct_new(experiment, row.id, active.claim.path, &door, &active.conduct, e);
	if (err < 0)
		goto out;
	progress_init(&active.progress, row.id, row.started_monotonic_ns);
	cpu = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
	loop(&active);
	cpu = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	seal(&active, &row, ret);
	if (session->agent_lost && agentproc_clean(session->agent_path, &cleaning) < 0)
		fprintf(stderr, "bop: warning: %s\n", cleaning.text);
	if (keep)
		snprintf(ret->directory, sizeof(ret->directory), "%s", active.claim.path);
out:
	if (active.claim.fd >= 0 && !(keep && !err))
		claim_remove_tree(active.claim.path);
	claim_close(&active.claim);
	if (!err)
		ret->timing = timing_of(conduct_result(active.conduct), clock_monotonic_ns() - row.started_monotonic_ns, cpu);
	conduct_free(active.conduct);
	ingest_fini(&active.ingest);
	free(active.warnings);
	return err;
}

void session_run_fini(struct session_run *run)
{
	run_free(run->run);
	run->run = NULL;
}
