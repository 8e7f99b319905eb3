"""Programs for the official Python SDK: conform.py SCENARIO --endpoints E --topic T --group G.

Each prints its facts as one JSON line and judges nothing: the tests do. With --halt it prints {"mark":"middle"} half way
and goes on when a line arrives on its standard input: that is when the test has killed the leader.
"""

import json
import os
import sys
import threading
import time
import traceback

from rocketmq import TransactionChecker, TransactionResolution

import features
import sdk
from sdk import (message, middle, number_of, options, persist, pool, receive_until, start_producer,
                 start_simple)


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
    return {"count": count, "sent": len(ids), "resent": sdk.resent, "storedTwice": sum(n > 1 for n in deliveries.values()),
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
    return {"groups": groups, "count": count, "failsOnce": -1, "poison": "", "seen": seen, "dead": [], "resent": sdk.resent}


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
    return {"count": count, "resent": sdk.resent, "received": len(deliveries),
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
        own = {"normal": normal, "fifo": fifo, "delay": delay, "transaction": transaction}
        facts = {**own, **features.PROGRAMS}[options.feature]()
        print(json.dumps(facts), flush=True)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stderr.flush()
    # The SDK's threads would keep the process alive.
    os._exit(status)
