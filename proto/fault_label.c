/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The words of a plan that have a form of their own: labels, names, times, shares. Pure. See fault_inside.h. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "proto/fault_inside.h"

#define EXAMPLE_MESSAGE "client>s1:7000#2/3 (or, from s1's side, client<s1:7000#2/3)"
#define EXAMPLE_CONNECTION "client>s1:7000#2"

/* A piece of a word. */
struct piece {
	const char *at;
	size_t n;
};

static int column_of(const struct word *word, const char *at)
{
	return word->column + (int)(at - word->at);
}

static const char *find(struct piece piece, const char *signs)
{
	for (size_t i = 0; i < piece.n; i++)
		if (strchr(signs, piece.at[i]))
			return piece.at + i;
	return NULL;
}

/* What is before `at` goes to *ret_before; piece begins behind it. */
static void split(struct piece *piece, const char *at, struct piece *ret_before)
{
	*ret_before = (struct piece){ piece->at, (size_t)(at - piece->at) };
	piece->n -= ret_before->n + 1;
	piece->at = at + 1;
}

static bool digits(struct piece piece, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (size_t i = 0; i < piece.n; i++) {
		unsigned digit = (unsigned)(piece.at[i] - '0');

		if (!isdigit((unsigned char)piece.at[i]) || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*ret_value = value;
	return piece.n && value <= max;
}

static int copy(char **ret_text, struct piece piece)
{
	*ret_text = strndup(piece.at, piece.n);
	return *ret_text ? 0 : -ENOMEM;
}

static bool name_good(struct piece name, const char *more)
{
	if (!name.n || name.n > FAULT_NAME_MAX || !isalnum((unsigned char)*name.at))
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!isalnum((unsigned char)name.at[i]) && !strchr(more, name.at[i]))
			return false;
	return true;
}

static int process_piece(struct parse *p, const struct word *word, struct piece name, char **ret_name)
{
	if (name_good(name, "_-.'"))
		return copy(ret_name, name);
	return fault_wrong(p, column_of(word, name.at),
			   "'%.*s' is no process's name: s1, its child s1.1, after a restart s1'2", WORD(name));
}

static int box_piece(struct parse *p, const struct word *word, struct piece name, char **ret_name)
{
	if (name_good(name, "-.")) /* an IPv4 address, too */
		return copy(ret_name, name);
	return fault_wrong(p, column_of(word, name.at), "'%.*s' is no box's name or address", WORD(name));
}

/* [fd00::1], spelled as everywhere. */
static int address6_piece(struct parse *p, const struct word *word, struct piece name, char **ret_name)
{
	char text[INET6_ADDRSTRLEN] = "";
	struct in6_addr address;

	if (name.n < sizeof(text))
		memcpy(text, name.at, name.n);
	if (inet_pton(AF_INET6, text, &address) != 1)
		return fault_wrong(p, column_of(word, name.at), "'%.*s' is no IPv6 address", WORD(name));
	inet_ntop(AF_INET6, &address, text, sizeof(text));
	return copy(ret_name, (struct piece){ text, strlen(text) });
}

/* s1:7000, s1:*1, 10.0.0.9:7000, [fd00::1]:7000 */
static int target_parse(struct parse *p, const struct word *word, struct piece target, struct fault_connection *c)
{
	const char *end = target.n && *target.at == '[' ? find(target, "]") : find(target, ":");
	struct piece box, whole = target;
	uint64_t value = 0;
	bool ordered, bracket = target.n && *target.at == '[';
	int err;

	c->box_column = column_of(word, target.at);
	if (!end || (bracket && (end + 1 == target.at + target.n || end[1] != ':')))
		return fault_wrong(p, column_of(word, target.at), "'%.*s' has no port: " EXAMPLE_CONNECTION,
				   WORD(target));
	split(&target, end, &box);
	if (bracket) {
		box = (struct piece){ box.at + 1, box.n - 1 };
		target = (struct piece){ target.at + 1, target.n - 1 };
	}
	err = bracket ? address6_piece(p, word, box, &c->box) : box_piece(p, word, box, &c->box);
	if (err)
		return err;
	ordered = target.n && *target.at == '*';
	if (ordered)
		target = (struct piece){ target.at + 1, target.n - 1 };
	if (!digits(target, ordered ? UINT32_MAX : UINT16_MAX, &value) || !value)
		return fault_wrong(
			p, column_of(word, target.at),
			"'%.*s' has no port from 1 to 65535, or *1 for the first that the kernel chose (faults act on TCP)",
			WORD(whole));
	*(ordered ? &c->port_order : &c->port) = (uint32_t)value;
	return 0;
}

/* As `bop show` spells what is racy: client>s1:7000#2/3!, with the sign behind it. */
static int racy_check(struct parse *p, const struct word *word)
{
	if (!word->n || word->at[word->n - 1] != '!')
		return 0;
	return fault_wrong(p, word->column + (int)word->n - 1,
			   "the ! says that the label is racy, and is no part of it: leave it out, and give --racy");
}

static int ordinal_parse(struct parse *p, const struct word *word, struct piece ordinal, struct fault_connection *c)
{
	uint64_t value = 0;

	if (ordinal.n == 1 && *ordinal.at == '?')
		return fault_wrong(p, column_of(word, ordinal.at),
				   "a connection that was there before it was watched (#?) has no name for "
				   "a fault; partition, isolate and loss reach it");
	if (!digits(ordinal, UINT32_MAX, &value) || !value)
		return fault_wrong(p, column_of(word, ordinal.at),
				   "'%.*s' is no number of a connect, from 1: " EXAMPLE_CONNECTION, WORD(ordinal));
	c->ordinal = (uint32_t)value;
	return 0;
}

/* Everything but the message's number, which stays in *rest. */
static int label_parse(struct parse *p, const struct word *word, const char *example, struct fault_moment *moment,
		       struct piece *ret_rest, bool *ret_has_rest)
{
	struct fault_connection *c = &moment->connection;
	struct piece rest = { word->at, word->n }, process, target, ordinal;
	const char *arrow = find(rest, "<>~"), *hash, *slash;
	int err = racy_check(p, word);

	if (err)
		return err;
	if (!arrow)
		return fault_wrong(
			p, word->column,
			"'%.*s' is cut off or no label: %s; in a shell, quote the whole line: it takes > and < "
			"away",
			WORD(*word), example);
	if (*arrow == '~')
		return fault_wrong(p, word->column,
				   "'%.*s' is a datagram: no fault acts on a single one; loss between boxes does",
				   WORD(*word));
	split(&rest, arrow, &process);
	moment->reply = *arrow == '<';
	c->column = word->column;
	err = process_piece(p, word, process, &c->process);
	if (err)
		return err;
	hash = find(rest, "#");
	if (!hash)
		return fault_wrong(p, column_of(word, rest.at + rest.n), "'%.*s' is cut off: which connect of %s? %s",
				   WORD(*word), c->process, example);
	split(&rest, hash, &target);
	err = target_parse(p, word, target, c);
	if (err)
		return err;
	slash = find(rest, "/");
	*ret_has_rest = slash;
	ordinal = rest;
	if (slash)
		split(&rest, slash, &ordinal);
	*ret_rest = rest;
	return ordinal_parse(p, word, ordinal, c);
}

int fault_message_parse(struct parse *p, const struct word *word, struct fault_moment *moment)
{
	struct piece rest;
	bool has_rest;
	uint64_t value = 0;
	int err = label_parse(p, word, EXAMPLE_MESSAGE, moment, &rest, &has_rest);

	if (err)
		return err;
	if (!has_rest)
		return fault_wrong(p, word->column + (int)word->n,
				   "'%.*s' is a connection; its first message is %.*s/1", WORD(*word), WORD(*word));
	if (!digits(rest, UINT32_MAX, &value) || !value)
		return fault_wrong(p, column_of(word, rest.at),
				   "'%.*s' is no number of a message, from 1: " EXAMPLE_MESSAGE, WORD(rest));
	moment->message = (uint32_t)value;
	return 0;
}

int fault_connection_parse(struct parse *p, const struct word *word, struct fault_moment *moment)
{
	struct piece rest;
	bool has_rest;
	int err = label_parse(p, word, EXAMPLE_CONNECTION, moment, &rest, &has_rest);

	if (err)
		return err;
	if (has_rest)
		return fault_wrong(p, column_of(word, rest.at - 1), "'%.*s' is a message; its connection is %.*s",
				   WORD(*word), (int)(rest.at - 1 - word->at), word->at);
	if (moment->reply)
		return fault_wrong(p, word->column,
				   "a connection is spelled from who connects, with >: " EXAMPLE_CONNECTION);
	return 0;
}

int fault_process_parse(struct parse *p, const struct word *word, char **ret_name)
{
	return process_piece(p, word, (struct piece){ word->at, word->n }, ret_name);
}

int fault_box_parse(struct parse *p, const struct word *word, char **ret_name)
{
	return box_piece(p, word, (struct piece){ word->at, word->n }, ret_name);
}

/*
 * 12 or 1.5, times `scale` (a power of ten, or a multiple of one). False: no number, or the result is no integer below
 * 2^63.
 */
static bool decimal(struct piece number, uint64_t scale, uint64_t *ret_value)
{
	const char *dot = find(number, ".");
	struct piece whole = number;
	uint64_t value = 0, fraction = 0;

	if (dot)
		split(&number, dot, &whole);
	else
		number = (struct piece){ "0", 1 };
	if (!digits(whole, INT64_MAX / scale, &value) || number.n > 9 || !digits(number, UINT64_MAX, &fraction))
		return false;
	for (size_t i = 0; i < number.n && fraction; i++) {
		if (scale % 10)
			return false;
		scale /= 10;
		value *= 10;
	}
	*ret_value = value * scale + fraction * scale;
	return true;
}

struct unit {
	const char *name;
	uint64_t scale;
};

/* A number and one of the units. */
static bool quantity(const struct word *word, const struct unit *units, uint64_t *ret_value)
{
	struct piece number = { word->at, 0 };
	size_t n;

	while (number.n < word->n && strchr("0123456789.", word->at[number.n]))
		number.n++;
	if (number.n == word->n)
		return false;
	n = word->n - number.n;
	for (; units->name; units++)
		if (strlen(units->name) == n && !memcmp(units->name, word->at + number.n, n))
			return decimal(number, units->scale, ret_value);
	return false;
}

int fault_duration_parse(struct parse *p, const struct word *word, bool may_be_zero, uint64_t *ret_ns)
{
	static const struct unit units[] = { { "ns", 1 },	  { "us", 1000 },	{ "ms", 1000000 },
					     { "s", 1000000000 }, { "m", 60000000000 }, { "h", 3600000000000 },
					     { NULL, 0 } };

	if (!quantity(word, units, ret_ns))
		return fault_wrong(p, word->column, "'%.*s' is no time: 300ms, 2s, 1.5s, 10m", WORD(*word));
	if (!*ret_ns && !may_be_zero)
		return fault_wrong(p, word->column, "'%.*s' is no time at all: 1ns at least", WORD(*word));
	if (*ret_ns >= FAULT_TIME_MAX_NS)
		return fault_wrong(p, word->column, "'%.*s' is a year or more: times in a plan are shorter (8760h)",
				   WORD(*word));
	return 0;
}

int fault_percent_parse(struct parse *p, const struct word *word, uint32_t *ret_ppm)
{
	static const struct unit units[] = { { "%", FAULT_PPM / 100 }, { NULL, 0 } };
	uint64_t ppm;

	if (!quantity(word, units, &ppm))
		return fault_wrong(p, word->column,
				   "'%.*s' is no share of the packets: 5%%, 0.1%% (four decimals at most)",
				   WORD(*word));
	if (!ppm || ppm > FAULT_PPM)
		return fault_wrong(p, word->column, "'%.*s' is out of range: more than 0%%, and 100%% at most",
				   WORD(*word));
	*ret_ppm = (uint32_t)ppm;
	return 0;
}

int fault_rate_parse(struct parse *p, const struct word *word, uint64_t *ret_rate)
{
	static const struct unit units[] = {
		{ "bit", 1 }, { "kbit", 1000 }, { "mbit", 1000000 }, { "gbit", 1000000000 }, { NULL, 0 }
	};

	if (!quantity(word, units, ret_rate))
		return fault_wrong(p, word->column, "'%.*s' is no rate, in bits a second: 64kbit, 10mbit, 1gbit",
				   WORD(*word));
	if (!*ret_rate || *ret_rate > 1000000000000ull)
		return fault_wrong(p, word->column, "'%.*s' is out of range: from 1bit to 1000gbit", WORD(*word));
	return 0;
}

int fault_number_parse(struct parse *p, const struct word *word, uint64_t max, uint64_t *ret_value)
{
	if (!digits((struct piece){ word->at, word->n }, max, ret_value) || !*ret_value)
		return fault_wrong(p, word->column, "'%.*s' is no number from 1 to %llu", WORD(*word),
				   (unsigned long long)max);
	return 0;
}
