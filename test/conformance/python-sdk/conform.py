"""A smoke program for the official Python SDK: conform.py normal|fifo|delay|transaction --endpoints E --topic T --group G.

Prints its facts as one JSON line and judges nothing: the tests do. With --halt it prints {"mark":"middle"} half way and
goes on when a line arrives on its standard input: that is when the test has killed the leader.
"""

import argparse
import json
import os
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

from rocketmq import (ClientConfiguration, Credentials, FilterExpression, Message, Producer, SimpleConsumer,
                      TransactionChecker, TransactionResolution)

FINAL = range(40000, 40800)
INVALID_RECEIPT_HANDLE = 40013

parser = argparse.ArgumentParser()
parser.add_argument("feature")
parser.add_argument("--endpoints", required=True)
parser.add_argument("--topic", required=True)
parser.add_argument("--group", required=True)
parser.add_argument("--halt", action="store_true")
parser.add_argument("--await", dest="await_ms", type=int, default=1000)
parser.add_argument("--patience", type=int, default=60000)
options = parser.parse_args()

pool = ThreadPoolExecutor(max_workers=16)
resent = 0


def persist(operation, count=False):
    """Does the operation until it succeeds, as an application would."""
    global resent
    ends_at = time.time() + options.patience / 1000
    while True:
        try:
            return operation()
        except Exception as error:
            if getattr(error, "code", None) in FINAL or time.time() > ends_at:
                raise
            if count:
                resent += 1
            time.sleep(0.1)


def middle():
    """Half way: lets the test kill a leader before the program goes on."""
    if options.halt:
        print(json.dumps({"mark": "middle"}, separators=(",", ":")), flush=True)
        sys.stdin.readline()


def configuration():
    return ClientConfiguration(options.endpoints, Credentials())


def start(make):
    def once():
        client = make()
        client.startup()
        return client

    return persist(once)


def start_producer(checker=None):
    return start(lambda: Producer(configuration(), (options.topic,), checker=checker))


def start_simple():
    subscription = {options.topic: FilterExpression()}
    # This SDK counts in whole seconds.
    await_seconds = max(1, options.await_ms // 1000)
    return start(lambda: SimpleConsumer(configuration(), options.group, subscription, await_duration=await_seconds))


def message(number, body):
    made = Message()
    made.topic = options.topic
    made.body = body.encode("utf-8")
    made.add_property("n", str(number))
    return made


def number_of(view):
    return int(view.properties["n"])


def ack(consumer, view):
    try:
        persist(lambda: consumer.ack(view))
    except Exception as error:
        if getattr(error, "code", None) != INVALID_RECEIPT_HANDLE:
            raise


def receive_until(consumer, done, take, timeout_seconds=None):
    """Receives, hands each message to `take` and acknowledges it, until `done()` holds."""
    ends_at = time.time() + (options.patience / 1000 if timeout_seconds is None else timeout_seconds)
    while not done() and time.time() < ends_at:
        try:
            views = consumer.receive(32, 15)
        except Exception:
            time.sleep(0.1)
            continue
        for view in views or []:
            take(view)
            ack(consumer, view)


def normal():
    count = 100
    wrong = []
    ids = {}
    lock = threading.Lock()
    producer = start_producer()

    def body_of(i):
        return f"message {i}: größer, 漢字, 🚀 " + "x" * i

    def send_one(i):
        def once():
            made = message(i, body_of(i))
            made.tag = "tag-a"
            made.keys = f"key-{i}"
            made.add_property("größe", "élan 漢字 🚀")
            return producer.send(made)

        receipt = persist(once, count=True)
        with lock:
            ids.setdefault(i, []).append(receipt.message_id)

    half = count // 2
    list(pool.map(send_one, range(half)))
    in_flight = [pool.submit(send_one, i) for i in range(half, half + 10)]
    middle()
    for future in in_flight:
        future.result()
    list(pool.map(send_one, range(half + 10, count)))

    deliveries = {}
    redelivered = []

    def take(view):
        i = number_of(view)
        if view.body.decode("utf-8") != body_of(i):
            wrong.append(f"body of {i}")
        if view.tag != "tag-a":
            wrong.append(f"tag of {i} is {view.tag}")
        if set(view.keys) != {f"key-{i}"}:
            wrong.append(f"keys of {i} are {view.keys}")
        if view.properties.get("größe") != "élan 漢字 🚀":
            wrong.append(f"property of {i}")
        if view.message_id not in ids[i]:
            wrong.append(f"id of {i}")
        if view.delivery_attempt > 1:
            redelivered.append(i)
        else:
            deliveries[i] = deliveries.get(i, 0) + 1

    consumer = start_simple()
    receive_until(consumer, lambda: len(deliveries) == count, take)
    return {"count": count, "sent": len(ids), "resent": resent, "storedTwice": sum(n > 1 for n in deliveries.values()),
            "simple": len(deliveries), "simpleTwice": len(redelivered), "wrong": wrong[:5]}


def fifo():
    groups, count = 4, 20
    producer = start_producer()

    def send_group(g):
        for i in range(count):
            def once():
                made = message(i, f"{g}/{i}")
                made.message_group = f"group-{g}"
                return producer.send(made)

            persist(once, count=True)

    list(pool.map(send_group, range(groups)))
    seen = [[] for _ in range(groups)]

    def total():
        return sum(len(set(one)) for one in seen)

    def take(view):
        seen[int(view.message_group.split("-")[1])].append(number_of(view))

    consumer = start_simple()
    receive_until(consumer, lambda: total() >= groups * count // 2, take)
    middle()
    receive_until(consumer, lambda: total() >= groups * count, take)
    return {"groups": groups, "count": count, "failsOnce": -1, "poison": "", "seen": seen, "dead": [], "resent": resent}


def delay():
    count = 10
    producer = start_producer()

    def send_one(i):
        def once():
            made = message(i, f"delayed {i}")
            # This SDK counts in whole seconds.
            made.delivery_timestamp = int(time.time()) + 4 + i % 2
            return producer.send(made)

        persist(once, count=True)

    list(pool.map(send_one, range(count // 2)))
    consumer = start_simple()
    middle()
    list(pool.map(send_one, range(count // 2, count)))
    deliveries = {}
    late_ms = []

    def take(view):
        # It takes seconds and gives milliseconds.
        late_ms.append(round(time.time() * 1000 - view.delivery_timestamp))
        deliveries[number_of(view)] = deliveries.get(number_of(view), 0) + 1

    receive_until(consumer, lambda: len(deliveries) == count, take)
    return {"count": count, "resent": resent, "received": len(deliveries),
            "twice": sum(n > 1 for n in deliveries.values()), "early": sum(late < 0 for late in late_ms),
            "lateMsMax": max(late_ms, default=0)}


def transaction():
    count = 8
    decisions = {}

    class Checker(TransactionChecker):
        def check(self, view):
            return decisions.get(view.message_id, TransactionResolution.TRANSACTION_RESOLUTION_UNSPECIFIED)

    producer = start_producer(Checker())
    halves = []
    for i in range(count):
        begun = producer.begin_transaction()
        receipt = producer.send(message(i, f"half {i}"), begun)
        halves.append((begun, receipt.message_id))
    consumer = start_simple()
    too_early = len(persist(lambda: consumer.receive(32, 15)) or [])

    def end(i):
        begun, message_id = halves[i]
        commit = i % 2 == 0
        decisions[message_id] = TransactionResolution.COMMIT if commit else TransactionResolution.ROLLBACK
        persist(begun.commit if commit else begun.rollback)

    list(pool.map(end, range(count // 2)))
    middle()
    list(pool.map(end, range(count // 2, count)))
    received = []
    wrong = []

    def take(view):
        i = number_of(view)
        received.append(i)
        if view.message_id != halves[i][1]:
            wrong.append(f"id of {i}")

    receive_until(consumer, lambda: len(set(received)) >= count / 2, take)
    receive_until(consumer, lambda: False, take, 1.5)
    return {"count": count, "tooEarly": too_early, "received": received, "wrong": wrong[:5]}


if __name__ == "__main__":
    status = 0
    try:
        facts = {"normal": normal, "fifo": fifo, "delay": delay, "transaction": transaction}[options.feature]()
        print(json.dumps(facts), flush=True)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stderr.flush()
    # The SDK's threads would keep the process alive.
    os._exit(status)
