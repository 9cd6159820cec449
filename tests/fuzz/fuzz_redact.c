/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The filter of contents: a byte (goes on or not), patterns, one a line, an empty line, bytes. It ends, it says what it
 * did, and what it did is printable.
 */
#include "lib/escape.h"
#include "lib/redact.h"
#include "tests/fuzz/fuzz.h"

#define PATTERNS 8

static size_t patterns_take(char *text, size_t size, char *patterns[PATTERNS + 1])
{
	size_t at = 0, n = 0;

	while (n < PATTERNS && at < size && text[at] != '\n') {
		patterns[n++] = text + at;
		while (at < size && text[at] != '\n')
			at++;
		text[at++] = '\0';
	}
	patterns[n] = NULL;
	return at < size ? at + 1 : size;
}

static void apply(struct redactor *redactor, const unsigned char *bytes, size_t size, bool goes_on)
{
	unsigned char *shown = NULL;
	enum redacted redacted;
	size_t n = 0;
	char *text;

	must(!redactor_apply(redactor, bytes, size, goes_on, &shown, &n, &redacted));
	if (redacted == REDACTED_NOTHING)
		must(n == size && !memcmp(shown, bytes, n));
	else if (redacted == REDACTED_ALL)
		must(n == sizeof(REDACT_MARK) - 1 || !size);
	else
		must(memmem(shown, n, REDACT_MARK, sizeof(REDACT_MARK) - 1));
	text = escape_bytes(shown, n);
	must(text);
	for (const char *p = text; *p; p++)
		must(*p >= ' ' && *p < 0x7f);
	free(text);
	free(shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct redactor *redactor = NULL;
	char *patterns[PATTERNS + 1], *text;
	struct error e = { "" };
	size_t at;
	int err;

	if (size < 2 || size > REDACT_MAX_SIZE)
		return 0;
	text = malloc(size);
	must(text);
	memcpy(text, data + 1, size - 1);
	at = patterns_take(text, size - 1, patterns);
	err = redactor_new(patterns, &redactor, &e);
	if (err)
		must_explain(err, &e);
	else if (at < size - 1)
		apply(redactor, data + 1 + at, size - 1 - at, data[0] & 1);
	redactor_free(err ? NULL : redactor);
	free(text);
	return 0;
}
