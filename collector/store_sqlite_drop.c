/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Removing from an SQLite store, in two steps: a first transaction after which nobody sees it any more, and notes that its batches
 * are to go; then batches and the room they had, in pieces, with pauses, as long as the piece was, in which other writers get in.
 * Whoever is killed leaves a note.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "collector/store_sqlite.h"
#include "lib/clock.h"

enum { BATCHES = 32, PAGES = 2048 }; /* of a piece: some 10 MB */

#define DOING "removing a run"

static void pause_like(uint64_t began_ns)
{
	uint64_t took = clock_monotonic_ns() - began_ns;
	struct timespec pause = { (time_t)(took / CLOCK_SECOND_NS), (long)(took % CLOCK_SECOND_NS) };

	nanosleep(&pause, NULL);
}

/* Whether the next piece is to come; NULL: it is. */
struct going {
	store_go_on *on;
	void *arg;
};

static bool goes_on(const struct going *going)
{
	return !going || going->on(going->arg);
}

/* Gives the room back. Not worth a complaint if it cannot: it is used again in any case. */
static void vacuum(struct store_sqlite *s, const struct going *going)
{
	char sql[64];
	uint64_t left = 0, before, began;

	snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%d)", PAGES);
	if (sqlite_number(s, "PRAGMA freelist_count", 0, 0, &left, NULL))
		return;
	while (left && goes_on(going)) {
		before = left;
		began = clock_monotonic_ns();
		if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK ||
		    sqlite_number(s, "PRAGMA freelist_count", 0, 0, &left, NULL) || left >= before)
			return;
		if (left)
			pause_like(began);
	}
}

/* Returns 1 while there is more. */
static int piece_remove(struct store_sqlite *s, uint64_t run, struct error *e)
{
	uint64_t more = 0;
	bool inner;
	int err = sqlite_enter(s, &inner, e);

	if (err < 0)
		return err;
	for (int i = 0; i < BATCHES && !err; i++) {
		err = sqlite_number(s, "SELECT rowid FROM batch WHERE run = ?1 LIMIT 1", run, 0, &more, e);
		if (err || !more)
			break;
		err = sqlite_change(s, "DELETE FROM batch WHERE rowid = ?1", more, 0, DOING, e);
	}
	if (!err && !more)
		err = sqlite_change(s, "DELETE FROM dropping WHERE run = ?1", run, 0, DOING, e);
	err = sqlite_leave(s, inner, err, e);
	return err ? err : more > 0;
}

/* 1: it is to end before all is gone. */
static int batches_remove(struct store_sqlite *s, uint64_t run, const struct going *going, struct error *e)
{
	uint64_t began;
	int more = 1;

	while (more > 0 && goes_on(going)) {
		began = clock_monotonic_ns();
		more = piece_remove(s, run, e);
		if (more > 0)
			pause_like(began);
	}
	vacuum(s, going);
	return more;
}

/* Its batches, and who it agreed with, are to go: within the transaction that says so. */
static int leave(struct store_sqlite *s, const struct store_run *run, bool had_events, struct error *e)
{
	int err = 0;

	if (had_events)
		err = sqlite_change(s, "INSERT OR IGNORE INTO dropping VALUES (?1)", run->id, 0, DOING, e);
	if (!err && run->class_id)
		err = sqlite_class_review(s, run->class_id, e);
	return err;
}

static int rows_remove(struct store_sqlite *s, uint64_t id, struct error *e)
{
	static const char *const statements[] = {
		"INSERT OR IGNORE INTO dropping SELECT 0 WHERE ?1 > 0", /* a note for commons_sweep() */
		"DELETE FROM plan WHERE run = ?1",
		"DELETE FROM stream WHERE run = ?1",
		"DELETE FROM process WHERE run = ?1",
		"DELETE FROM run WHERE id = ?1",
	};
	int err = 0;

	for (size_t i = 0; i < sizeof(statements) / sizeof(*statements) && !err; i++)
		err = sqlite_change(s, statements[i], id, 0, DOING, e);
	return err;
}

enum what { ROW, EVENTS, COPY /* the same, if others can stand for them */ };

/* Whose events can stand for those of a run; 0: nobody's. */
static int other_find(struct store_sqlite *s, uint64_t id, uint64_t *ret_other, struct error *e)
{
	return sqlite_number(s,
			     "SELECT o.id FROM run o JOIN run r ON r.class = o.class AND r.outcome = o.outcome"
			     " WHERE r.id = ?1 AND o.id <> ?1 AND o.class IS NOT NULL AND o.kept IS NULL AND NOT o.running"
			     " ORDER BY o.id LIMIT 1",
			     id, 0, ret_other, e);
}

/* Whether no more runs are shown with its events than that: itself, and what repeats it. */
static int uses_check(struct store_sqlite *s, uint64_t id, uint64_t uses, struct error *e)
{
	uint64_t now = 0;
	int err = sqlite_number(s, "SELECT count(*) FROM run WHERE id = ?1 OR (class = (SELECT class FROM run WHERE id = ?1) AND kept = ?1)",
				id, 0, &now, e);

	if (!err && now > uses)
		err = error_set(e, -ESTALE, "run %llu: a later run is shown with its events", (unsigned long long)id);
	return err;
}

static int events_forget(struct store_sqlite *s, uint64_t id, enum what what, uint64_t uses, struct error *e)
{
	uint64_t other = 0;
	int err = what == COPY ? other_find(s, id, &other, e) : uses_check(s, id, uses, e);

	if (!err && what == COPY && !other)
		err = error_set(e, -ESTALE, "run %llu: no other run has the same events", (unsigned long long)id);
	if (!err && other) /* what repeated it repeats that one now */
		err = sqlite_change(s, "UPDATE run SET kept = ?2 WHERE class = (SELECT class FROM run WHERE id = ?1) AND kept = ?1", id, other,
				    DOING, e);
	return err ? err : sqlite_change(s, "UPDATE run SET kept = ?2 WHERE id = ?1", id, other, DOING, e);
}

/* The row, or only that it has no events. Returns 1 if batches are left to be removed. */
static int forget(struct store *store, uint64_t id, enum what what, uint64_t uses, struct error *e)
{
	bool row = what == ROW;
	struct store_sqlite *s = sqlite_of(store);
	struct store_run *run = NULL;
	bool inner, own = false;
	int err = sqlite_enter(s, &inner, e);

	if (err < 0)
		return err;
	err = sqlite_run_get(store, id, &run, e);
	if (!err && run->running && (!row || store_owner_alive(&run->owner)))
		err = error_set(e, -EBUSY, "run %llu is still being recorded (by process %d)", (unsigned long long)id,
				run->owner.pid);
	own = !err && run->kept == id;
	if (!err && row)
		err = rows_remove(s, id, e);
	else if (!err && own)
		err = events_forget(s, id, what, uses, e);
	if (!err && (row || own))
		err = leave(s, run, own, e);
	store_run_free(run);
	err = sqlite_leave(s, inner, err, e);
	return err ? err : own;
}

static int forget_all(struct store *store, uint64_t id, enum what what, uint64_t uses, struct error *e)
{
	int err = forget(store, id, what, uses, e);

	if (err <= 0)
		return err;
	err = batches_remove(sqlite_of(store), id, NULL, e);
	return err < 0 ? error_prefix(e, err, "run %llu: its events are removed, but their room is not given back yet (`bop gc` goes on)",
				      (unsigned long long)id) : 0;
}

int sqlite_run_remove(struct store *store, uint64_t id, struct error *e)
{
	return forget_all(store, id, ROW, 0, e);
}

int sqlite_run_drop(struct store *store, uint64_t id, uint64_t uses, struct error *e)
{
	return forget_all(store, id, EVENTS, uses, e);
}

int sqlite_run_fold(struct store *store, uint64_t id, struct error *e)
{
	return forget_all(store, id, COPY, 0, e);
}

int sqlite_run_size(struct store *store, uint64_t id, uint64_t *ret_bytes, struct error *e)
{
	return sqlite_number(sqlite_of(store), "SELECT coalesce(sum(length(bytes)), 0) FROM batch WHERE run = ?1", id, 0, ret_bytes, e);
}

int sqlite_room(struct store *store, bool tidy, uint64_t *ret_bytes, struct error *e)
{
	static const char *const suffixes[] = { "", "-wal" };
	struct store_sqlite *s = sqlite_of(store);
	char name[PATH_MAX];
	struct stat st;

	if (tidy) /* whoever reads can be in the way: then it is done by the last one who leaves */
		sqlite3_exec(s->db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
	*ret_bytes = 0;
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s%s", s->path, suffixes[i]);
		if (stat(name, &st) == 0)
			*ret_bytes += (uint64_t)st.st_size;
	}
	return 0;
}

/* What runs had in common goes with the last one that had it; to be looked for only after some were removed: all rows are read. */
static int commons_sweep(struct store_sqlite *s, struct error *e)
{
	uint64_t removed;
	int err = sqlite_number(s, "SELECT count(*) FROM dropping WHERE run = 0", 0, 0, &removed, e);
	bool inner;

	if (err || !removed)
		return err;
	err = sqlite_enter(s, &inner, e);
	if (err < 0)
		return err;
	err = sqlite_run(s,
			 "DELETE FROM file WHERE id NOT IN (SELECT file FROM run);"
			 "DELETE FROM program WHERE id NOT IN (SELECT program FROM process);"
			 "DELETE FROM dropping WHERE run = 0",
			 DOING, e);
	return sqlite_leave(s, inner, err, e);
}

int sqlite_sweep(struct store *store, store_go_on *go_on, void *arg, struct error *e)
{
	const struct going going = { go_on, arg };
	struct store_sqlite *s = sqlite_of(store);
	uint64_t run = 0;
	int n = 0, err;

	while (!(err = sqlite_number(s, "SELECT min(run) FROM dropping WHERE run > ?1", run, 0, &run, e)) && run) {
		err = batches_remove(s, run, &going, e);
		if (err)
			break;
		n++;
	}
	if (!err && goes_on(&going))
		err = commons_sweep(s, e);
	return err < 0 ? err : n;
}
