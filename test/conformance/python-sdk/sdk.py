"""What the programs share: options, clients, and calls that are repeated until they succeed."""

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from rocketmq import ClientConfiguration, Credentials, FilterExpression, Message, Producer, SimpleConsumer

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


def configuration(namespace=""):
    return ClientConfiguration(options.endpoints, Credentials(), namespace)


def start(make):
    def once():
        client = make()
        client.startup()
        return client

    return persist(once)


def start_producer(checker=None, topics=(options.topic,), namespace=""):
    return start(lambda: Producer(configuration(namespace), topics, checker=checker))


def start_simple(suffix="", subscription=None, namespace=""):
    wanted = subscription or {options.topic: FilterExpression()}
    group = options.group + suffix
    # This SDK counts in whole seconds.
    await_seconds = max(1, options.await_ms // 1000)
    return start(lambda: SimpleConsumer(configuration(namespace), group, wanted, await_duration=await_seconds))


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
    """Receives, hands each message to `take` and acknowledges it unless that returns False, until `done()` holds."""
    ends_at = time.time() + (options.patience / 1000 if timeout_seconds is None else timeout_seconds)
    while not done() and time.time() < ends_at:
        try:
            views = consumer.receive(32, 15)
        except Exception:
            time.sleep(0.1)
            continue
        for view in views or []:
            if take(view) is not False:
                ack(consumer, view)
