/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See show_history.h, and docs/json.md. */
#include <errno.h>
#include <stdlib.h>

#include "collector/json.h"
#include "collector/show_history.h"

static json_t *counts_object(Bop__Api__Count *const *rows, size_t n)
{
	json_t *object = json_object();

	for (size_t i = 0; i < n; i++)
		json_object_set_new(object, rows[i]->name, json_number(rows[i]->count));
	return object;
}

static json_t *estimate_object(const Bop__Api__Estimate *estimate)
{
	return estimate ? json_pack("{s:f,s:f,s:f,s:f,s:o,s:o}", "classes", estimate->classes, "low", estimate->low, "high",
				    estimate->high, "next_new", estimate->next_new, "once", json_number(estimate->once), "twice",
				    json_number(estimate->twice)) :
			  json_null();
}

static json_t *seconds(uint64_t realtime_ns)
{
	return json_real((double)(realtime_ns / 1000) / 1e6);
}

static json_t *lines_array(char *const *lines, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, json_text(lines[i]));
	return array;
}

static json_t *class_object(const struct shown_history *shown, const Bop__Api__Class *class)
{
	char *explained = shown->explain ? shown->explain(shown->explain_arg, class) : NULL;
	struct print print = { class->print->high, class->print->low, class->print->approximate };
	char hash[PRINT_TEXT_SIZE];
	json_t *object = json_object();

	print_text(&print, hash);
	json_object_set_new(object, "class", json_number(class->id));
	json_object_set_new(object, "plan", lines_array(class->plan, class->n_plan));
	json_object_set_new(object, "dry_run", json_boolean(class->dry_run));
	json_object_set_new(object, "print", json_pack("{s:s,s:b}", "hash", hash, "approximate", print.approximate));
	json_object_set_new(object, "exact_classes", json_number(class->exact));
	json_object_set_new(object, "runs", json_number(class->count));
	json_object_set_new(object, "found_at", json_number(class->found_at));
	json_object_set_new(object, "first_run", json_number(class->first_run));
	json_object_set_new(object, "kept_run", class->kept_run ? json_number(class->kept_run) : json_null());
	json_object_set_new(object, "last_run", json_number(class->last_run));
	json_object_set_new(object, "first", seconds(class->first_ns));
	json_object_set_new(object, "last", seconds(class->last_ns));
	json_object_set_new(object, "outcomes", counts_object(class->outcomes, class->n_outcomes));
	json_object_set_new(object, "explained", json_text(explained));
	free(explained);
	return object;
}

static json_t *levels_object(const Bop__Api__History *h)
{
	json_t *object = json_object();
	char key[48];

	for (size_t i = 0; i < h->n_levels; i++) {
		snprintf(key, sizeof(key), "%.30s%s", h->levels[i]->level, h->levels[i]->symmetric ? "_symmetric" : "");
		json_object_set_new(object, key, json_number(h->levels[i]->classes));
	}
	return object;
}

static json_t *history_object(const struct shown_history *shown)
{
	const Bop__Api__History *h = shown->history;
	json_t *object = json_object(), *rows = json_array();

	json_object_set_new(object, "experiment", json_text(shown->experiment));
	json_object_set_new(object, "level", json_text(print_level_name(shown->level)));
	json_object_set_new(object, "symmetric", json_boolean(shown->symmetric));
	json_object_set_new(object, "runs", json_number(h->runs));
	json_object_set_new(object, "unclassed", json_number(h->unclassed));
	json_object_set_new(object, "reasons", counts_object(h->reasons, h->n_reasons));
	json_object_set_new(object, "plans", json_number(h->plans));
	json_object_set_new(object, "classes_at", levels_object(h));
	json_object_set_new(object, "estimate", estimate_object(h->estimate));
	for (size_t i = 0; i < h->n_rows; i++)
		json_array_append_new(rows, class_object(shown, h->rows[i]));
	json_object_set_new(object, "classes", rows);
	return object;
}

int show_histories_json(const struct shown_history *shown, size_t n, FILE *out, struct error *e)
{
	struct json_writer w;

	json_begin(&w, out);
	json_array_begin(&w, "histories");
	for (size_t i = 0; i < n; i++)
		json_element(&w, history_object(&shown[i]));
	json_array_end(&w);
	json_end(&w);
	return w.failed ? error_set(e, -ENOMEM, "out of memory") : 0;
}
