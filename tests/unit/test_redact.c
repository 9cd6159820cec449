/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The filter of contents hides what it should, says that it did, comes to an end, and never fails open. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/escape.h"
#include "lib/redact.h"

static struct redactor *redactor_of(char *a, char *b)
{
	char *patterns[] = { a, b, NULL };
	struct redactor *redactor = NULL;
	struct error e = { "" };

	ck_assert_msg(!redactor_new(patterns, &redactor, &e), "%s", e.text);
	return redactor;
}

/* What the filter makes of text, and whether it says so. */
static void shown(struct redactor *redactor, const char *text, size_t size, bool goes_on, const char *expected,
		  enum redacted how)
{
	unsigned char *bytes = NULL;
	enum redacted redacted;
	size_t n;

	ck_assert_int_eq(redactor_apply(redactor, (const unsigned char *)text, size, goes_on, &bytes, &n, &redacted), 0);
	ck_assert_msg(n == strlen(expected) && !memcmp(bytes, expected, n), "'%.*s', not '%s'", n < 100 ? (int)n : 100, (char *)bytes,
		      expected);
	ck_assert_int_eq(redacted, how);
	free(bytes);
}

#define SHOWN(redactor, text, goes_on, expected, how) shown(redactor, text, sizeof(text) - 1, goes_on, expected, how)

/* Each match becomes one mark, matches that touch or overlap become one together, the rest stays as it is. */
START_TEST(parts)
{
	struct redactor *r = redactor_of("secret=\\S+", "[0-9]{4}-[0-9]{4}");

	SHOWN(r, "nothing here", false, "nothing here", REDACTED_NOTHING);
	SHOWN(r, "", false, "", REDACTED_NOTHING);
	SHOWN(r, "a secret=x b secret=yy", false, "a [redacted] b [redacted]", REDACTED_PARTS);
	SHOWN(r, "1234-5678", false, "[redacted]", REDACTED_PARTS);
	SHOWN(r, "1234-56781234-5678!", false, "[redacted]!", REDACTED_PARTS);
	SHOWN(r, "secret=1234-5678 ok", false, "[redacted] ok", REDACTED_PARTS);
	redactor_free(r);
	r = redactor_of("a*", "(?<=key:)\\w+");
	SHOWN(r, "bbb key:word.", false, "bbb key:[redacted].", REDACTED_PARTS);
	redactor_free(r);
}
END_TEST

/* Bytes are bytes: NUL and what is no UTF-8 are matched, and do not end anything. */
START_TEST(binary)
{
	static const char text[] = "ab\0s\0e!\xff\xff.", expected[] = "ab\0[redacted]![redacted].";
	struct redactor *r = redactor_of("s\\x00e", "\\xff+");
	unsigned char *bytes;
	enum redacted redacted;
	size_t n;

	ck_assert_int_eq(redactor_apply(r, (const unsigned char *)text, sizeof(text), true, &bytes, &n, &redacted), 0);
	ck_assert(n == sizeof(expected) && !memcmp(bytes, expected, n));
	ck_assert_int_eq(redacted, REDACTED_PARTS);
	free(bytes);
	redactor_free(r);
}
END_TEST

/*
 * Wherever a message is cut, nothing of a secret remains: not of one that begins before the cut and ends behind it. What
 * does not go on is not suspected of going on.
 */
START_TEST(cut)
{
	static const char text[] = "user=bob password=hunter2 card 1234-5678 end";
	struct redactor *r = redactor_of("password=\\S+", "[0-9]{4}-[0-9]{4}");
	char expected[128];

	for (size_t n = 0; n < sizeof(text); n++) {
		unsigned char *bytes;
		enum redacted redacted;
		size_t size;

		ck_assert_int_eq(redactor_apply(r, (const unsigned char *)text, n, true, &bytes, &size, &redacted), 0);
		ck_assert_msg(!memmem(bytes, size, "h", 1), "%zu: %.*s", n, (int)size, (char *)bytes);
		for (const char *digit = "12345678"; *digit; digit++)
			ck_assert_ptr_null(memchr(bytes, *digit, size));
		free(bytes);
	}
	SHOWN(r, "say passw", true, "say [redacted]", REDACTED_PARTS);
	SHOWN(r, "say passw", false, "say passw", REDACTED_NOTHING);
	snprintf(expected, sizeof(expected), "x %s", REDACT_MARK);
	SHOWN(r, "x password=hun", true, expected, REDACTED_PARTS);
	redactor_free(r);
}
END_TEST

static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Patterns that would match for years hide everything, at once, and are not tried for ever. */
START_TEST(malicious)
{
	static const char *const patterns[] = {
		"(a+)+$", "(a|aa)+$", "(a*)*b", "((a+)(a+))+\\2$", "(?R)?a+$", "(a?){30}(a+)+c", "(?:a?){64}a{64}x",
	};
	char text[REDACT_MAX_SIZE];
	struct redactor *r = redactor_of((char *)patterns[_i], NULL);
	double before = cpu_seconds();

	memset(text, 'a', sizeof(text));
	memcpy(text + sizeof(text) - 6, "!bcxy!", 6);
	for (int i = 0; i < 2000; i++)
		shown(r, text, sizeof(text), i % 2, REDACT_MARK, REDACTED_ALL);
	ck_assert_msg(cpu_seconds() - before < 60, "%.1f s", cpu_seconds() - before);
	redactor_free(r);
}
END_TEST

/* What is no pattern is refused with its reason; so is what would change the rules. */
START_TEST(refused)
{
	static const struct {
		const char *pattern, *words;
	} bad[] = {
		{ "a(b", "missing closing parenthesis" }, { "*", "quantifier does not follow" },
		{ "", "has 0 bytes" },			  { "(*UTF)a", "disabled by the application" },
		{ "a\\Cb", "disabled by the application" }, { "(?<=a*)b", "lookbehind assertion is not fixed length" },
	};
	struct redactor *r = NULL;
	char *patterns[REDACT_MAX_PATTERNS + 2] = { NULL }, big[REDACT_MAX_PATTERN + 2];
	struct error e;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		patterns[0] = (char *)bad[i].pattern;
		ck_assert_int_eq(redactor_new(patterns, &r, &e), -EINVAL);
		ck_assert_msg(strstr(e.text, bad[i].words) != NULL, "%s", e.text);
	}
	memset(big, 'a', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	patterns[0] = big;
	ck_assert_int_eq(redactor_new(patterns, &r, &e), -EINVAL);
	for (size_t i = 0; i <= REDACT_MAX_PATTERNS; i++)
		patterns[i] = "a";
	ck_assert_int_eq(redactor_new(patterns, &r, &e), -EINVAL);
	ck_assert(strstr(e.text, "more than 32"));
	ck_assert_ptr_null(r);
	ck_assert_int_eq(redactor_new(NULL, &r, &e), 0);
	SHOWN(r, "anything", true, "anything", REDACTED_NOTHING);
	redactor_free(r);
}
END_TEST

/* Every byte can be printed, and told from every other. */
START_TEST(escapes)
{
	unsigned char all[256];
	char *text;

	for (int i = 0; i < 256; i++)
		all[i] = (unsigned char)i;
	text = escape_bytes("GET \"x\"\\\r\n\t\x7f\0\xc3\xa9", 15);
	ck_assert_str_eq(text, "GET \\\"x\\\"\\\\\\r\\n\\t\\x7f\\x00\\xc3\\xa9");
	free(text);
	text = escape_bytes(all, 256);
	for (const char *p = text; *p; p++)
		ck_assert(*p >= ' ' && *p < 0x7f);
	free(text);
	text = escape_bytes("", 0);
	ck_assert_str_eq(text, "");
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("redact");
	TCase *tc = tcase_create("redact");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 200);
	tcase_add_test(tc, parts);
	tcase_add_test(tc, binary);
	tcase_add_test(tc, cut);
	tcase_add_loop_test(tc, malicious, 0, 7);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, escapes);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
