/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See json.h. */
#include "collector/json.h"

#include <stdlib.h>
#include <string.h>

#include "lib/utf8.h"

void json_begin(struct json_writer *w, FILE *out)
{
	*w = (struct json_writer){ .out = out };
	fputc('{', out);
}

void json_end(struct json_writer *w)
{
	fputs("\n}\n", w->out);
}

static void value_write(struct json_writer *w, json_t *value)
{
	if (!value)
		w->failed = true;
	else
		json_dumpf(value, w->out, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(value);
}

static void key_write(struct json_writer *w, const char *key)
{
	fprintf(w->out, "%s\n\"%s\":", w->members ? "," : "", key);
	w->members = true;
}

void json_member(struct json_writer *w, const char *key, json_t *value)
{
	key_write(w, key);
	value_write(w, value);
}

void json_array_begin(struct json_writer *w, const char *key)
{
	key_write(w, key);
	fputc('[', w->out);
	w->elements = false;
}

void json_element(struct json_writer *w, json_t *value)
{
	fputs(w->elements ? ",\n" : "\n", w->out);
	w->elements = true;
	value_write(w, value);
}

void json_array_end(struct json_writer *w)
{
	fputs("]", w->out);
}

json_t *json_text_n(const char *text, size_t size)
{
	json_t *string = json_stringn(text, size);
	char *clean, *to;
	size_t n;

	if (string)
		return string;
	clean = to = malloc(size * 3 + 1);
	for (size_t i = 0; clean && i < size; i += n ? n : 1) {
		n = utf8_length((const unsigned char *)text + i, size - i);
		memcpy(to, n ? text + i : "\xef\xbf\xbd", n ? n : 3);
		to += n ? n : 3;
	}
	string = clean ? json_stringn(clean, (size_t)(to - clean)) : NULL;
	free(clean);
	return string;
}

json_t *json_text(const char *text)
{
	return text ? json_text_n(text, strlen(text)) : json_null();
}

json_t *json_number(uint64_t number)
{
	return number == UINT64_MAX ? json_null() : json_integer((json_int_t)number);
}
