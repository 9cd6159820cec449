/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See server.h. The doors and the gate are server_open's; agents come and go at the doors. */
#include "collector/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <utlist.h>

#include "collector/gate.h"
#include "lib/clock.h"

/* Room around a batch, or around 64 KiB of output. */
enum { FRAME_MAX = WIRE_MAX_BATCH + (1 << 20), LINGER_MS = 1000, QUEUE = 256, TEXT_MAX = 255, BOXES_MAX = 200, FRAMES_TURN = 1024 };
_Static_assert(SERVER_AGENTS_MAX == 256 && SERVER_KEY_AGENTS_MAX == 32, "refusal.h, `bop boxes --help` and docs/ say so");

#define REFRESH_NS (CLOCK_SECOND_NS / 10)
#define RETRY_NS (CLOCK_SECOND_NS / 100) /* a ROUTER does not tell when one of its peers has room again */

struct server {
	struct door *private, *remote;
	struct gate *gate;
	struct allowed *allowed;
	struct server_agent *agents, *last; /* last: whom the last frame came from */
	size_t n_agents;
	struct refusals refusals;
	struct message message; /* the last one received */
	bool single, turn; /* turn: the door that is looked at first */
	void (*on_news)(struct server_agent *agent, enum server_news news, void *arg);
	void *arg;
	uint64_t refresh_ns;
	struct error failed; /* of a list that cannot be read */
	bool trouble;	     /* until it is told */
};

static int remote_open(struct server *server, void *context, const struct server_options *options, struct error *e)
{
	struct door_options door = { .url = options->listen, .secret = options->secret, .frame_max = FRAME_MAX,
				     .queue = QUEUE, .refusals = &server->refusals };
	int err = gate_open(context, options->allowed, &server->refusals, &server->gate, e);

	door.gate = server->gate;
	return err ? err : door_open(context, &door, &server->remote, e);
}

int server_open(void *context, const struct server_options *options, struct server **ret_server,
		char ret_address[SERVER_ADDRESS_MAX], struct error *e)
{
	struct server *server;
	struct door_options door = { .url = ret_address, .frame_max = FRAME_MAX, .queue = QUEUE };
	int err;

	/* sun_path is 108 bytes */
	if (snprintf(ret_address, SERVER_ADDRESS_MAX, "ipc://%s/agents", options->directory) >=
	    (int)strlen("ipc://") + 107)
		return error_set(e, -ENAMETOOLONG, "%s: this path is too long for a socket; use a shorter one (BOP_TMPDIR)",
				 options->directory);
	server = calloc(1, sizeof(*server));
	if (!server)
		return error_set(e, -ENOMEM, "out of memory");
	server->allowed = options->allowed;
	server->single = options->single;
	server->on_news = options->on_news;
	server->arg = options->arg;
	door.refusals = &server->refusals;
	err = door_open(context, &door, &server->private, e);
	if (!err && options->listen)
		err = remote_open(server, context, options, e);
	if (err)
		server_close(server);
	else
		*ret_server = server;
	return err;
}

static void agent_free(struct server *server, struct server_agent *agent)
{
	DL_DELETE(server->agents, agent);
	server->n_agents--;
	if (server->last == agent)
		server->last = NULL;
	courier_fini(&agent->courier);
	message_fini(&agent->greeting);
	free(agent);
}

void server_close(struct server *server)
{
	if (!server)
		return;
	while (server->agents)
		agent_free(server, server->agents);
	message_fini(&server->message);
	door_close(server->private, LINGER_MS);
	door_close(server->remote, LINGER_MS);
	gate_close(server->gate);
	free(server);
}

int server_items(const struct server *server, zmq_pollitem_t items[SERVER_ITEMS])
{
	door_items(server->private, items);
	if (!server->remote)
		return 2;
	door_items(server->remote, items + 2);
	items[4] = gate_item(server->gate);
	return SERVER_ITEMS;
}

static void news(struct server *server, struct server_agent *agent, enum server_news what)
{
	if (server->on_news)
		server->on_news(agent, what, server->arg);
}

static void agent_gone(struct server *server, struct server_agent *agent, enum server_news what)
{
	agent->connected = false;
	agent->away_ns = clock_monotonic_ns();
	news(server, agent, what);
	if (!agent->owner)
		agent_free(server, agent);
}

static void on_gone(struct door *door, int fd, void *arg)
{
	struct server *server = arg;
	struct server_agent *agent, *next;

	DL_FOREACH_SAFE(server->agents, agent, next)
		if (agent->connected && agent->door == door && agent->fd == fd)
			agent_gone(server, agent, SERVER_WENT);
}

static int message_send(struct door *door, const struct door_id *to, const struct message *message)
{
	unsigned char *bytes = NULL;
	size_t size;
	int err = message_encode(message, &bytes, &size);

	if (!err)
		err = door_send(door, to, bytes, size);
	free(bytes);
	return err;
}

static void refuse(struct door *door, const struct door_id *to, const char *reason)
{
	message_send(door, to, &(struct message){ .kind = MESSAGE_REFUSED, .text = (char *)reason });
}

static void cut(struct server *server, struct server_agent *agent, const char *reason)
{
	agent->cut = true;
	if (agent->connected) {
		refuse(agent->door, &agent->id, reason);
		agent_gone(server, agent, SERVER_CUT);
	}
}

/* Who is not on the list any more is not let in any more. */
static void list_refresh(struct server *server)
{
	struct server_agent *agent, *next;
	int changed = allowed_refresh(server->allowed, &server->failed);

	server->trouble |= changed < 0;
	if (changed <= 0)
		return;
	server->trouble = false;
	DL_FOREACH_SAFE(server->agents, agent, next)
		if (*agent->key && !allowed_pair(server->allowed, agent->key, agent->public))
			cut(server, agent, "its key was taken off the list");
}

static bool send_again(const unsigned char *bytes, size_t size, void *arg)
{
	struct server_agent *agent = arg;

	return door_send(agent->door, &agent->id, bytes, size) == 0;
}

/* Its way was full: what follows would only be dropped there, as too early. */
static bool is_behind(const struct server_agent *agent)
{
	return agent->connected && agent->under_way < agent->courier.sent;
}

void server_work(struct server *server, uint64_t now)
{
	struct server_agent *agent;

	door_watch(server->private, on_gone, server);
	if (server->remote) {
		door_watch(server->remote, on_gone, server);
		if (now - server->refresh_ns >= REFRESH_NS) {
			server->refresh_ns = now;
			list_refresh(server);
		}
		gate_work(server->gate);
	}
	DL_FOREACH(server->agents, agent)
	if (is_behind(agent))
		agent->under_way = courier_again(&agent->courier, agent->under_way, send_again, agent);
}

uint64_t server_deadline(const struct server *server, uint64_t now)
{
	const struct server_agent *agent;

	DL_FOREACH(server->agents, agent)
	if (is_behind(agent))
		return now + RETRY_NS;
	return UINT64_MAX;
}

int server_send(struct server *server, struct server_agent *agent, const struct message *message, struct error *e)
{
	uint64_t before = agent->courier.sent;
	bool behind = is_behind(agent), numbered;
	unsigned char *bytes = NULL;
	size_t size;
	int err = courier_encode(&agent->courier, message, &bytes, &size);

	if (err < 0)
		return error_set(e, err, "out of memory");
	numbered = agent->courier.sent > before;
	if (!agent->connected)
		err = -EHOSTUNREACH;
	else
		err = numbered && behind ? -EAGAIN : door_send(agent->door, &agent->id, bytes, size);
	if (numbered && !err)
		agent->under_way = agent->courier.sent;
	free(bytes);
	return err < 0 ? error_set(e, err, "sending to the agent: %s", zmq_strerror(-err)) : 0;
}

static struct server_agent *agent_of(struct server *server, const struct door *door, const struct door_id *id)
{
	struct server_agent *agent = server->last;

	if (agent && agent->connected && agent->door == door && door_id_same(&agent->id, id))
		return agent;
	DL_FOREACH(server->agents, agent)
		if (agent->connected && agent->door == door && door_id_same(&agent->id, id))
			return server->last = agent;
	return NULL;
}

static bool short_text(const char *text)
{
	return strlen(text) <= TEXT_MAX;
}

/* Nothing that a list could not show. */
static bool hello_sane(const struct message_hello *hello)
{
	bool sane = short_text(hello->version) && short_text(hello->host) && short_text(hello->boot_id) &&
		    short_text(hello->kernel) && short_text(hello->backend) && hello->n_boxes <= BOXES_MAX;

	for (size_t i = 0; sane && i < hello->n_boxes; i++)
		sane = *hello->boxes[i].name && strlen(hello->boxes[i].name) < 64 && strlen(hello->boxes[i].address) < 64 &&
		       strlen(hello->boxes[i].address6) < 64;
	for (size_t i = 0; sane && i < hello->n_unable; i++)
		sane = short_text(hello->unable[i].kind) && strlen(hello->unable[i].why) < sizeof(((struct error *)NULL)->text);
	return sane;
}

static size_t agents_of_key(const struct server *server, const char *key)
{
	const struct server_agent *agent;
	size_t n = 0;

	DL_FOREACH(server->agents, agent)
		n += !strcmp(agent->public, key);
	return n;
}

/* Why this agent does not get in; NULL: it does. */
static const char *objection(struct server *server, const struct door_frame *frame, const struct server_agent *known,
			     char *buf, size_t size, enum refusal *ret_refusal)
{
	const struct message_hello *hello = &server->message.hello;

	*ret_refusal = REFUSAL_NONSENSE;
	if (hello->protocol != WIRE_PROTOCOL || strcmp(hello->version, BOP_VERSION)) {
		*ret_refusal = REFUSAL_VERSION;
		snprintf(buf, size, "the agent tfj is version %.60s (protocol %u), bop is %s (protocol %u): "
			 "install both from one build", hello->version, hello->protocol, BOP_VERSION, WIRE_PROTOCOL);
		return buf;
	}
	if (!hello_sane(hello))
		return "what it says of itself is too long";
	if (known && (known->cut || strcmp(known->public, frame->user)))
		return "this session is another agent's";
	if (!known && server->single && server->agents)
		return "another agent serves this collector already";
	if (*frame->user && !allowed_by_key(server->allowed, frame->user))
		return "its key was taken off the list";
	*ret_refusal = REFUSAL_FULL;
	if (!known && server->n_agents >= SERVER_AGENTS_MAX)
		return "the server has as many agents as it takes";
	if (!known && *frame->user && agents_of_key(server, frame->user) >= SERVER_KEY_AGENTS_MAX)
		return "as many agents as a key may have are connected with this one: give each machine its own (bop keys make)";
	return NULL;
}

static struct server_agent *agent_by_session(const struct server *server, const unsigned char session[16])
{
	struct server_agent *agent;

	DL_FOREACH(server->agents, agent)
		if (!memcmp(agent->hello->session, session, 16))
			return agent;
	return NULL;
}

static struct server_agent *agent_new(struct server *server, const struct door_frame *frame)
{
	const struct allowed_agent *row = *frame->user ? allowed_by_key(server->allowed, frame->user) : NULL;
	struct server_agent *agent = calloc(1, sizeof(*agent));

	if (!agent)
		return NULL;
	if (getrandom(agent->session, sizeof(agent->session), 0) != sizeof(agent->session)) {
		free(agent);
		return NULL;
	}
	snprintf(agent->key, sizeof(agent->key), "%s", row ? row->name : "");
	snprintf(agent->public, sizeof(agent->public), "%s", frame->user);
	agent->since_ns = clock_realtime_ns();
	DL_APPEND(server->agents, agent);
	server->n_agents++;
	return agent;
}

/* Takes server->message as a hello. 0, or -EPROTO: not an agent for us. */
static int greet(struct server *server, struct door *door, const struct door_frame *frame, struct error *e)
{
	struct server_agent *agent;
	enum server_news what;
	struct message welcome = { .kind = MESSAGE_WELCOME, .welcome = { .version = BOP_VERSION } };
	enum refusal refusal;
	const char *why;
	char text[256];

	door_watch(door, on_gone, server); /* the connection may be younger than the last look */
	agent = agent_by_session(server, server->message.hello.session);
	what = agent ? SERVER_BACK : SERVER_CAME;
	why = objection(server, frame, agent, text, sizeof(text), &refusal);
	if (why) {
		server->refusals.n[refusal]++;
		refuse(door, &frame->from, why);
		return server->single && refusal == REFUSAL_VERSION ? error_set(e, -EPROTO, "%s", why) : 0;
	}
	if (!door_claim(door, frame->fd)) /* gone again */
		return 0;
	if (!agent)
		agent = agent_new(server, frame);
	if (!agent)
		return 0; /* it will try again */
	message_fini(&agent->greeting);
	agent->greeting = server->message;
	server->message = (struct message){ .kind = MESSAGE_NONE };
	agent->hello = &agent->greeting.hello;
	snprintf(agent->address, sizeof(agent->address), "%s", frame->address);
	agent->door = door;
	agent->id = frame->from; /* another one after a reconnection */
	agent->fd = frame->fd;
	agent->connected = true;
	memcpy(welcome.welcome.session, agent->session, sizeof(agent->session));
	message_send(door, &agent->id, &welcome);
	agent->under_way = courier_again(&agent->courier, 0, send_again, agent);
	news(server, agent, what);
	return 0;
}

/* A frame that says nothing. 0, or what server_receive() returns. */
static int nonsense(struct server *server, struct server_agent *agent, int err, struct error *e)
{
	server->message = (struct message){ .kind = MESSAGE_NONE };
	if (err == -ENOMEM && !server->single)
		return 0; /* not the agent's fault; what has to arrive comes again */
	server->refusals.n[REFUSAL_NONSENSE]++;
	if (!agent)
		return 0;
	if (server->single)
		return error_prefix(e, err, "the agent sent what cannot be understood");
	cut(server, agent, "it sent what cannot be understood");
	return 0;
}

/* One frame. 1: a message for the caller, 0: none, or a negative errno. */
static int frame_take(struct server *server, struct door *door, const struct door_frame *frame,
		      struct server_agent **ret_agent, struct error *e)
{
	struct server_agent *agent = agent_of(server, door, &frame->from);
	int err;

	message_fini(&server->message);
	err = message_decode(frame->bytes, frame->size, MESSAGE_TO_COLLECTOR, &server->message, e);
	if (err < 0)
		return nonsense(server, agent, err, e);
	if (server->message.kind == MESSAGE_HELLO)
		return greet(server, door, frame, e);
	if (!agent) { /* of one that was cut off, or has not said who it is */
		server->refusals.n[REFUSAL_NONSENSE]++;
		return 0;
	}
	if (!courier_take(&agent->courier, &server->message))
		return 0;
	if (server->message.number) /* it keeps it until then */
		server_send(server, agent, &(struct message){ .kind = MESSAGE_ACK }, NULL);
	*ret_agent = agent;
	return 1;
}

int server_receive(struct server *server, struct server_agent **ret_agent, const struct message **ret_message,
		   struct error *e)
{
	struct door *doors[] = { server->private, server->remote };
	struct door_frame frame;
	int err = 0;

	server->turn = !server->turn; /* nobody has to wait for the other door to be empty */
	for (int i = 0, left = FRAMES_TURN; i < 2 && left && !err; left--) {
		struct door *door = doors[i ^ server->turn];

		if (!door || !door_receive(door, &frame))
			i++;
		else
			err = frame_take(server, door, &frame, ret_agent, e);
	}
	*ret_message = &server->message;
	return err;
}

struct server_agent *server_agents(const struct server *server)
{
	return server->agents;
}

void server_release(struct server *server, struct server_agent *agent)
{
	agent->owner = NULL;
	if (!agent->connected)
		agent_free(server, agent);
}

const struct refusals *server_refusals(const struct server *server)
{
	return &server->refusals;
}

const char *server_list_trouble(struct server *server)
{
	bool trouble = server->trouble;

	server->trouble = false;
	return trouble ? server->failed.text : NULL;
}

const char *server_stranger(struct server *server)
{
	return server->gate ? gate_refused(server->gate) : NULL;
}
