# SPDX-License-Identifier: GPL-3.0-or-later
"""The systems of test_real.py: programs that they need, what is done, how many messages there are at least, files.

In the files @FOLDER@ is where they are, and @PATH@ a list of folders with programs. There is a file `big` of 100,000 bytes.
"""

NGINX = """daemon off;
worker_processes 2;
pid nginx.pid;
error_log stderr;
events { worker_connections 1024; }
http {
	access_log off;
	client_body_temp_path b;
	proxy_temp_path p;
	fastcgi_temp_path f;
	uwsgi_temp_path u;
	scgi_temp_path s;
	sendfile on;
	server { listen 8080; root @FOLDER@; }
	server { listen 8081; location / { proxy_pass http://n:8080; } }
}
"""

NGINX_PROCESS = "{name: nginx, box: n, run: [nginx, -p, ., -c, @FOLDER@/nginx.conf], ready: {listen: 8080}}"

HAPROXY = """global
	maxconn 500
defaults
	mode tcp
	timeout connect 5s
	timeout client 30s
	timeout server 30s
	option splice-auto
frontend plain
	bind *:9000
	default_backend web
backend web
	server s1 n:8080
frontend http
	mode http
	bind *:9001
	default_backend http_web
backend http_web
	mode http
	server s1 n:8080
"""

POSTGRES = """#!/bin/sh
PATH=@PATH@
initdb -D data -A trust >/dev/null || exit 1
echo "host all all all trust" >>data/pg_hba.conf
exec postgres -D data -c listen_addresses='*' -c unix_socket_directories= -c fsync=off
"""

SENTINEL = """#!/bin/sh
cat >s.conf <<X
port 26379
sentinel resolve-hostnames yes
sentinel monitor m r1 6379 2
sentinel down-after-milliseconds m 1000
sentinel failover-timeout m 3000
X
exec redis-sentinel s.conf
"""

FAILOVER = """#!/bin/sh
redis-cli -h r1 set k v
redis-cli -h r1 shutdown nosave
tries=0
while [ $tries -lt 150 ]; do
	master=$(redis-cli -h s1 -p 26379 sentinel get-master-addr-by-name m | head -n 1)
	[ "$master" != r1 ] && [ "$master" != "$BOP_ADDR_R1" ] && [ "$(redis-cli -h "$master" get k)" = v ] && exit 0
	tries=$((tries + 1))
	sleep 0.1
done
exit 1
"""

RABBIT = """#!/bin/sh
export HOME=$PWD RABBITMQ_NODENAME=rabbit@$1 RABBITMQ_MNESIA_BASE=$PWD/m RABBITMQ_LOG_BASE=$PWD/l
export RABBITMQ_PID_FILE=$PWD/pid RABBITMQ_ENABLED_PLUGINS_FILE=$PWD/plugins
echo COOKIE >.erlang.cookie
chmod 400 .erlang.cookie
exec /usr/lib/rabbitmq/bin/rabbitmq-server
"""

RABBIT_JOIN = """#!/bin/sh
export HOME=$PWD
echo COOKIE >.erlang.cookie
chmod 400 .erlang.cookie
control=/usr/lib/rabbitmq/bin/rabbitmqctl
$control -n rabbit@r2 stop_app && $control -n rabbit@r2 join_cluster rabbit@r1 && $control -n rabbit@r2 start_app
"""

ZOOKEEPER = """#!/bin/sh
cat >zoo.cfg <<X
tickTime=500
initLimit=20
syncLimit=10
dataDir=$PWD/d
clientPort=2181
admin.enableServer=false
4lw.commands.whitelist=*
server.1=z1:2888:3888
server.2=z2:2888:3888
server.3=z3:2888:3888
X
mkdir d
echo "$1" >d/myid
exec java -Xmx200m -cp "/usr/share/java/*:/etc/zookeeper/conf" org.apache.zookeeper.server.quorum.QuorumPeerMain zoo.cfg
"""

GALERA = """#!/bin/sh
# usage: galera NODE [--wsrep-new-cluster]
node=$1
shift
mariadb-install-db --datadir="$PWD/data" --auth-root-authentication-method=normal --user=mysql >/dev/null 2>&1 || exit 1
exec mariadbd --no-defaults --datadir="$PWD/data" --socket="$PWD/s.sock" --pid-file="$PWD/pid" --bind-address=0.0.0.0 \\
	--binlog-format=ROW --innodb-autoinc-lock-mode=2 --innodb-flush-log-at-trx-commit=0 --innodb-buffer-pool-size=64M \\
	--wsrep-on=ON --wsrep-provider=/usr/lib/galera/libgalera_smm.so --wsrep-cluster-name=x \\
	--wsrep-cluster-address=gcomm://g1,g2,g3 --wsrep-node-address="$node" --wsrep-node-name="$node" \\
	--wsrep-sst-method=rsync --skip-grant-tables --skip-networking=0 "$@"
"""

ASYNCIO = """import asyncio
import ssl
import sys


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def serve():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("cert.pem", "key.pem")
    async with await asyncio.start_server(echo, "0.0.0.0", 4433, ssl=context) as server:
        await server.serve_forever()


async def ask(number):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("s", 4433, ssl=context)
    for k in range(20):
        size = 1 + number * k * 500
        writer.write(b"q" * size)
        await writer.drain()
        await reader.readexactly(size)
    writer.close()


async def main():
    if sys.argv[1] == "serve":
        await serve()
    else:
        await asyncio.gather(*[ask(number) for number in range(50)])

asyncio.run(main())
"""

APACHE = """#!/bin/sh
cat >a.conf <<X
ServerRoot $PWD
ServerName a
Listen 8080
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
PidFile $PWD/pid
ErrorLog /dev/stderr
DocumentRoot @FOLDER@
User nobody
Group nogroup
X
exec apache2 -f "$PWD/a.conf" -DFOREGROUND
"""


def experiment(boxes, processes, workload, more=""):
    listed = "".join(f"  - {process}\n" for process in processes)
    return f"experiment: real\nboxes: [{boxes}]\nprocesses:\n{listed}workload: {workload}\ntimeout: 2m\n" \
           f"ready_timeout: 1m\n{more}"


def redis(box, arguments, ready="{listen: 6379}"):
    return f'{{name: {box}, box: {box}, ready: {ready}, ' \
           f'run: [redis-server, --bind, "0.0.0.0", --protected-mode, "no", --save, "", {arguments}]}}'


def mariadb(node, arguments=""):
    ready = f"mariadb -h {node} -e \\\"show status like 'wsrep_ready'\\\" | grep -q ON"
    return f'{{name: {node}, box: {node}, user: mysql, run: [./galera, {node}{arguments}], ' \
           f'ready: {{run: [sh, -c, "{ready}"]}}}}'


def system(what, needs, messages, boxes, processes, workload, **files):
    more = files.pop("more", "")
    files = {name.replace("_dot_", "."): text for name, text in files.items()}
    return {"what": what, "needs": needs, "messages": messages,
            "files": {**files, "experiment.yaml": experiment(boxes, processes, workload, more)}}


SYSTEMS = {
    "nginx": system(
        "short connections, kept ones, and a proxy, with sendfile", ["nginx", "ab"], 20000, "n, c", [NGINX_PROCESS],
        '{name: ab, box: c, run: [sh, -c, "ab -q -n 2000 -c 50 http://n:8080/big && ab -q -k -n 2000 -c 50 http://n:8080/big && '
        'ab -q -k -n 500 -c 20 http://n:8081/big"]}', nginx_dot_conf=NGINX),
    "wrk": system(
        "200 connections that are reset in the midst of answers", ["nginx", "wrk"], 10000, "n, c", [NGINX_PROCESS],
        '{name: wrk, box: c, run: [wrk, -d, 2s, -c, "200", -t, "2", "http://n:8080/nginx.conf"]}', nginx_dot_conf=NGINX),
    "haproxy": system(
        "splice between two connections, and HTTP", ["nginx", "ab", "haproxy"], 2000, "n, h, c",
        [NGINX_PROCESS, "{name: haproxy, box: h, run: [haproxy, -db, -f, @FOLDER@/haproxy.cfg], ready: {listen: 9000}}"],
        '{name: ab, box: c, run: [sh, -c, "ab -q -n 300 -c 20 http://h:9000/big && ab -q -k -n 300 -c 20 http://h:9001/big"]}',
        nginx_dot_conf=NGINX, haproxy_dot_cfg=HAPROXY),
    "socat": system(
        "a child for each connection, which connects further", ["nginx", "ab", "socat"], 2000, "n, h, c",
        [NGINX_PROCESS,
         '{name: socat, box: h, run: [socat, "TCP-LISTEN:9000,fork,reuseaddr,backlog=100", "TCP:n:8080"], ready: {listen: 9000}}'],
        '{name: ab, box: c, run: [ab, -q, -n, "500", -c, "20", "http://h:9000/big"]}', nginx_dot_conf=NGINX),
    "inetd": system(
        "programs that inherit their connection, over IPv6", ["socat"], 6, "s, c",
        ['{name: s, box: s, run: [socat, "TCP6-LISTEN:9,fork,reuseaddr", "EXEC:/bin/cat,nofork"], ready: {listen: 9}}'],
        '{name: c, box: c, run: [sh, -c, "for i in 1 2 3; do echo hello $i | socat -t5 - TCP6:s.v6:9; done"]}'),
    # a busy Apache closes idle connections, and ab counts the requests that met this as failed: fewer replies than requests
    "apache": system(
        "threads of several processes", ["apache2", "ab"], 3500, "a, c",
        ["{name: apache, box: a, run: [./apache], ready: {listen: 8080}}"],
        '{name: ab, box: c, run: [ab, -q, -k, -n, "2000", -c, "30", "http://a:8080/big"]}', apache=APACHE),
    "memcached": system(
        "four threads", ["memcached", "memcslap"], 40000, "m, c",
        ['{name: m, box: m, run: [memcached, -u, nobody, -t, "4", -l, "0.0.0.0"], ready: {listen: 11211}}'],
        '{name: c, box: c, run: [sh, -c, "memcslap --servers=m --concurrency=20 --execute-number=500 --test=set && '
        'memcslap --servers=m --concurrency=20 --execute-number=500 --test=get"]}'),
    "postgresql": system(
        "a process for each connection, and pgbench", ["postgres", "pgbench"], 5000, "p, c",
        ["{name: pg, box: p, user: postgres, run: [./pg], stop: SIGINT, ready: {run: [pg_isready, -h, p]}}"],
        '{name: c, box: c, env: {PGHOST: p, PGUSER: postgres, PGDATABASE: postgres}, '
        'run: [sh, -c, "pgbench -i -q && pgbench -c 8 -j 4 -t 100 && pgbench -c 4 -j 2 -C -t 20"]}', pg=POSTGRES),
    "sentinel": system(
        "three Redis, whose master goes, and three that choose another", ["redis-server", "redis-sentinel"], 100,
        "r1, r2, r3, s1, s2, s3, c",
        [redis("r1", ""), redis("r2", '--replicaof, r1, "6379"'),
         redis("r3", '--replicaof, r1, "6379"', '{run: [sh, -c, "redis-cli -h r3 info replication | grep -q link_status:up"]}')] +
        [f"{{name: s{k}, box: s{k}, run: [./sentinel], ready: {{listen: 26379}}}}" for k in (1, 2, 3)],
        "{name: c, box: c, run: [./failover]}", sentinel=SENTINEL, failover=FAILOVER),
    "mosquitto": system(
        "50 messages published with quality of service 2", ["mosquitto", "mosquitto_pub"], 500, "m, a, b",
        ["{name: m, box: m, run: [mosquitto, -c, @FOLDER@/m.conf], ready: {listen: 1883}}"],
        '[{name: sub, box: b, run: [mosquitto_sub, -h, m, -t, "t/#", -q, "2", -C, "50", -c, -i, sub]}, {name: pub, box: a, run: [sh, -c, '
        '"for i in $(seq 60); do mosquitto_pub -h m -t t/$i -m hello$i -q 2 -r; done"]}]',
        m_dot_conf="listener 1883 0.0.0.0\nallow_anonymous true\n"),
    "rabbitmq": system(
        "two Erlang nodes that become one cluster", ["rabbitmq-server"], 500, "r1, r2, c",
        [f"{{name: {r}, box: {r}, run: [./rabbit, {r}], ready: {{listen: 5672}}}}" for r in ("r1", "r2")],
        "{name: c, box: c, run: [./join]}", rabbit=RABBIT, join=RABBIT_JOIN),
    "zookeeper": system(
        "three Java servers that elect one", ["java", "nc"], 50, "z1, z2, z3, c",
        ['{name: z1, box: z1, run: [./zk, "1"]}', '{name: z2, box: z2, run: [./zk, "2"]}',
         '{name: z3, box: z3, run: [./zk, "3"], ready: {run: [sh, -c, "echo srvr | nc -w1 z3 2181 | grep -q Mode"]}}'],
        '{name: c, box: c, run: [sh, -c, "for i in 1 2 3 4; do echo create /k$i v$i; echo get /k$i; done | '
        "java -cp '/usr/share/java/*' org.apache.zookeeper.ZooKeeperMain -server z1:2181,z2:2181,z3:2181\"]}", zk=ZOOKEEPER),
    "galera": system(
        "three MariaDB that copy a database with rsync and replicate inserts", ["mariadbd", "rsync"], 500, "g1, g2, g3, c",
        [mariadb("g1", ", --wsrep-new-cluster"), mariadb("g2"), mariadb("g3")],
        "{name: c, box: c, run: [sh, -c, \"mariadb -h g1 -e 'create database d; create table d.t (a int primary key)' && "
        'for i in 1 2 3 4 5 6; do mariadb -h g$((i%3+1)) -e \\"insert into d.t values ($i)\\"; done"]}', galera=GALERA,
        more="grace: 5s\n"),
    "asyncio": system(
        "50 TLS connections in one Python thread", ["python3", "openssl"], 2000, "s, c",
        ['{name: s, box: s, run: [sh, -c, "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 '
         '-subj /CN=s 2>/dev/null && exec python3 @FOLDER@/tls.py serve"], ready: {listen: 4433}}'],
        "{name: c, box: c, run: [python3, @FOLDER@/tls.py, ask]}", tls_dot_py=ASYNCIO),
    "http2": system(
        "many streams on one connection", ["nghttpd", "h2load"], 500, "s, c",
        ['{name: s, box: s, run: [nghttpd, --no-tls, -n, "3", -d, @FOLDER@, "8000"], ready: {listen: 8000}}'],
        '{name: c, box: c, run: [h2load, -n, "500", -c, "10", -m, "20", -t, "2", "http://s:8000/big"]}'),
    "iperf3": system(
        "more bytes than sequence numbers: 10 GB on one connection, then both ways in writes of 16 bytes", ["iperf3"], 50000, "s, c",
        ['{name: s, box: s, run: [iperf3, -s], stop: SIGKILL, ready: {listen: 5201}}'],
        '{name: c, box: c, run: [sh, -c, "iperf3 -c s -n 10G && iperf3 -c s -t 1 -l 16 --bidir"]}'),
}
