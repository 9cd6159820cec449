/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A JSON object that is written while it is made: members one after the other, long arrays element by element. Values
 * are jansson's, and are taken. A value that is NULL (no memory) sets `failed`; failed writes stay in ferror(out).
 */
#ifndef COLLECTOR_JSON_H
#define COLLECTOR_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json_writer {
	FILE *out;
	bool members, elements; /* something stands before: a comma is due */
	bool failed;
};

void json_begin(struct json_writer *w, FILE *out);
void json_end(struct json_writer *w);
void json_member(struct json_writer *w, const char *key, json_t *value);
void json_array_begin(struct json_writer *w, const char *key);
void json_element(struct json_writer *w, json_t *value);
void json_array_end(struct json_writer *w);

/* A string of bytes that may be anything: what is no UTF-8 becomes U+FFFD. */
json_t *json_text_n(const char *text, size_t size);
/* NULL gives null. */
json_t *json_text(const char *text);
/* UINT64_MAX, which means unknown, gives null. */
json_t *json_number(uint64_t number);

#endif
