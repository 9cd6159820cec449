/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See run.h. Losses: the kernel side counts what it could not record; each increase becomes a LOST event as soon as it
 * is seen, and the sum goes with the last batch.
 *
 * A deferred run keeps records as they come, and notes (marks, losses) among them so that all stay in order. Only while
 * somebody waits for a listener, and before a program is started, whose row must be behind theirs, they are dealt with.
 */
#include "tfj/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/clock.h"
#include "tfj/dispatch.h"
#include "tfj/run_inside.h"

#define KILL_WAIT_MS 5000
#define KILL_PAUSE_NS 100000
#define QUIET_TURNS 5	 /* so often in a row nothing came: no more will, though sockets are there still */
#define QUIET_TURNS_MAX 100
#define QUIET_NS (CLOCK_SECOND_NS / 1000)
#define LOSSES_NS (CLOCK_SECOND_NS / 5) /* each program is asked: too dear for every tick */

enum { TAG_RECORD, TAG_NOTE, TAG_CONTENT };

static const char *const counter_texts[COUNTER_COUNT] = {
#define X(name, text) [COUNTER_##name] = text,
	COUNTERS(X)
#undef X
};

/* Is a child left? */
static bool reap(struct run *run)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (run->crew)
			crew_on_exit(run->crew, pid, status);
	return pid == 0;
}

/* What left the cgroup came to us when its parent died: all our children are of the run. */
static void children_kill(void)
{
	FILE *f = fopen("/proc/thread-self/children", "re");
	int pid;

	while (f && fscanf(f, "%d", &pid) == 1)
		kill(pid, SIGKILL);
	if (f)
		fclose(f);
}

static int kill_all(struct run *run)
{
	uint64_t end = clock_monotonic_ns() + KILL_WAIT_MS * (CLOCK_SECOND_NS / 1000);
	int err = 0;

	if (run->cgroup.events >= 0) {
		err = cgroup_kill(&run->cgroup);
		if (!err)
			err = cgroup_wait_empty(&run->cgroup, KILL_WAIT_MS);
	}
	while (reap(run)) {
		if (clock_monotonic_ns() > end)
			return err ? err : -ETIMEDOUT;
		children_kill();
		nanosleep(&(struct timespec){ .tv_nsec = KILL_PAUSE_NS }, NULL);
	}
	return err;
}

struct boxes *run_close(struct run *run)
{
	struct boxes *boxes;

	if (!run)
		return NULL;
	boxes = run->boxes;
	kill_all(run);
	inject_free(run->inject);
	tracer_clear(run->place.tracer);
	crew_free(run->crew);
	attached_free(run->attached);
	names_free(run->names);
	hoard_free(run->hoard);
	contents_free(run->contents);
	syn_close(run->syn);
	cgroup_remove(&run->cgroup);
	if (run->files.fd >= 0)
		claim_remove_tree(run->files.path);
	claim_close(&run->files);
	if (run->directory.fd >= 0)
		claim_remove_tree(run->directory.path);
	claim_close(&run->directory);
	stream_fini(&run->stream);
	free(run);
	return boxes;
}

int run_boxes(const struct run *run, struct trace_box **ret_boxes, size_t *ret_n)
{
	struct trace_box *rows = calloc(run->boxes->n + 1, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < run->boxes->n; i++) {
		rows[i].name = run->boxes->box[i].name;
		rows[i].address = run->boxes->box[i].address;
		rows[i].address6 = run->boxes->box[i].address6;
	}
	*ret_boxes = rows;
	*ret_n = run->boxes->n;
	return 0;
}

static int cut(struct run *run, bool last, uint64_t emitted)
{
	return dispatch(&run->stream, run->place.link, last, emitted, run->lost);
}

/* Deals with a record now. */
static void take(struct run *run, const struct rec_head *record, size_t size)
{
	names_record(run->names, record, size);
	if (stream_due(&run->stream))
		cut(run, false, 0);
}

static void take_content(struct run *run, const struct kept_content *kept)
{
	names_content(run->names, kept);
	if (stream_due(&run->stream))
		cut(run, false, 0);
}

static void take_note(struct run *run, const struct kept_note *note)
{
	if (event_is_fault(note->kind))
		names_fault_event(run->names, note->kind, (uint32_t)note->value, note->process, note->now_ns);
	else
		names_note(run->names, note->kind, note->value, note->text, note->now_ns);
}

static void on_kept(uint32_t tag, const void *kept, size_t size, void *arg)
{
	const struct kept_note *note = kept;
	struct run *run = arg;

	if (tag == TAG_RECORD)
		take(run, kept, size);
	else if (tag == TAG_CONTENT)
		take_content(run, kept);
	else
		take_note(run, note);
}

int run_replay(struct run *run)
{
	uint64_t lost = 0;
	int more = run->hoard ? hoard_take(run->hoard, on_kept, run, &lost) : 0;

	if (!lost)
		return more > 0;
	run->lost += lost;
	names_note(run->names, EVENT_LOST, (int64_t)lost, "records that were kept and cannot be read back",
		   clock_monotonic_ns());
	return hoard_count(run->hoard) > 0;
}

void run_catch_up(struct run *run)
{
	while (run_replay(run))
		;
}

void run_note(struct run *run, const struct kept_note *note)
{
	if (!run->hoard || !hoard_count(run->hoard) || hoard_add(run->hoard, TAG_NOTE, note, sizeof(*note)) < 0)
		take_note(run, note);
}

static void note(struct run *run, enum event_kind kind, uint64_t value, const char *text)
{
	struct kept_note kept = { .kind = kind, .value = (int64_t)value, .now_ns = clock_monotonic_ns() };

	snprintf(kept.text, sizeof(kept.text), "%s", text);
	run_note(run, &kept);
}

void run_drain(struct run *run)
{
	run->deferring = run->hoard && !run_waits(run);
	if (!run->deferring)
		run_catch_up(run);
	tracer_drain(run->place.tracer);
}

int run_start(struct run *run, uint64_t order, const struct message_start *start, struct error *e)
{
	if (!start->untraced)
		run_catch_up(run);
	return crew_start(run->crew, order, start, clock_monotonic_ns(), e);
}

int run_attach(struct run *run, const struct message_attach *attach, pid_t *ret_pid, struct error *e)
{
	int err = run->inject ? inject_spares(run->inject, attach->name, e) : 0;

	if (err)
		return err;
	run_catch_up(run);
	return attached_add(run->attached, attach, clock_monotonic_ns(), ret_pid, e);
}

int run_signal(struct run *run, const char *name, int signal, struct error *e)
{
	return crew_signal(run->crew, name, signal, e);
}

void run_mark(struct run *run, const char *text)
{
	/* what happened before the mark comes before it in the stream too */
	run_drain(run);
	note(run, EVENT_MARK, 0, text);
	if (run->inject && !strcmp(text, "teardown"))
		inject_no_restarts(run->inject);
}

/* A LOST event for each loss that was not told yet. */
static void losses_say(struct run *run)
{
	uint64_t now[COUNTER_COUNT], lost;

	tracer_counters(run->place.tracer, now);
	for (int i = 0; i < COUNTER_COUNT; i++) {
		if (i == COUNTER_EMITTED || now[i] == run->before[i])
			continue;
		lost = now[i] - run->before[i];
		note(run, EVENT_LOST, lost, counter_texts[i]);
		run->before[i] = now[i];
		run->lost += lost;
	}
	lost = run->stream.dropped - run->dropped;
	if (!lost)
		return;
	run->dropped += lost;
	run->lost += lost;
	note(run, EVENT_LOST, lost, "events that the agent had no memory for");
}

void run_send(struct run *run)
{
	uint64_t now = clock_monotonic_ns();

	if (now - run->losses_ns > LOSSES_NS) {
		run->losses_ns = now;
		losses_say(run);
	}
	if (!stream_empty(&run->stream))
		cut(run, false, 0);
}

/* What a message says is filtered before it is kept, which may be on a disk. */
static void content_of(struct run *run, const struct rec_transfer *send)
{
	struct kept_content *kept = send->local ? NULL : contents_take(run->contents, send);

	if (kept && !run->deferring)
		take_content(run, kept);
	else if (kept && hoard_add(run->hoard, TAG_CONTENT, kept, sizeof(*kept) + kept->size) < 0)
		run->stream.dropped++;
	free(kept);
}

void run_record(struct run *run, const struct rec_head *record, size_t size)
{
	if (!run->names)
		return;
	if (run->attached)
		attached_record(run->attached, record, size);
	if (record->kind == REC_FAULT && run->inject)
		inject_record(run->inject, (const struct rec_fault *)record, size, clock_monotonic_ns());
	if (record->kind == REC_CONTENT) {
		if (run->contents)
			contents_put(run->contents, (const struct rec_content *)record, size);
		return;
	}
	if (!run->deferring)
		take(run, record, size);
	else if (hoard_add(run->hoard, TAG_RECORD, record, size) < 0)
		run->stream.dropped++;
	if (run->contents && record->kind == REC_SEND && size >= sizeof(struct rec_transfer))
		content_of(run, (const struct rec_transfer *)record);
	if (run->contents && record->kind == REC_EXIT)
		contents_end(run->contents, record->tid);
}

void run_on_exit(struct run *run, pid_t pid, int status)
{
	crew_on_exit(run->crew, pid, status);
}

void run_on_ready(struct run *run, void *data)
{
	if (data) /* else something for run_inject() */
		crew_on_ready(run->crew, data);
}

bool run_waits(const struct run *run)
{
	return crew_waits(run->crew) || (run->inject && inject_hurries(run->inject));
}

uint64_t run_events(const struct run *run)
{
	return run->stream.events + (run->hoard ? hoard_count(run->hoard) : 0);
}

bool run_deferred(const struct run *run)
{
	return run->deferring;
}

static void on_due(void *arg)
{
	cut(arg, false, 0);
}

/* Sockets of dead processes still say goodbye to each other for a moment. It is over when the kernel forgot them all. */
static void drain_until_quiet(struct run *run)
{
	int quiet = 0;

	for (int i = 0; i < QUIET_TURNS_MAX && quiet < QUIET_TURNS; i++) {
		quiet = tracer_drain(run->place.tracer) > 0 ? 0 : quiet + 1;
		if (!names_open_ends(run->names))
			break;
		nanosleep(&(struct timespec){ .tv_nsec = QUIET_NS }, NULL);
	}
}

/* Every record that the kernel side says it made must have come. Returns how many it made. */
static uint64_t emitted_check(struct run *run)
{
	uint64_t missing, emitted = tracer_drain_all(run->place.tracer, &missing);

	if (missing) {
		run->lost += missing;
		note(run, EVENT_LOST, missing, "records that the kernel made and that did not arrive");
	}
	return emitted - run->before[COUNTER_EMITTED];
}

int run_stop(struct run *run, struct error *e)
{
	int err;

	if (run->inject) {
		run_drain(run);
		inject_disarm(run->inject, clock_monotonic_ns());
	}
	err = kill_all(run);
	tracer_drain(run->place.tracer);
	if (attached_any(run->attached)) { /* those go on, whatever is still to be done for this run */
		drain_until_quiet(run);
		tracer_stop(run->place.tracer);
		drain_until_quiet(run);
	}
	return err ? error_set(e, err, "not every process could be killed: %s", strerror(-err)) : 0;
}

int run_finish(struct run *run, struct error *e)
{
	int err = 0, cut_err;
	uint64_t emitted;

	run_catch_up(run);
	run->deferring = false;
	drain_until_quiet(run);
	reap(run);
	emitted = emitted_check(run);
	crew_flush(run->crew, on_due, run);
	losses_say(run);
	run_receipts_keep(run);
	cut_err = cut(run, true, emitted);
	if (cut_err)
		err = error_set(e, cut_err, "the last batch cannot be made: %s", strerror(-cut_err));
	return err;
}
