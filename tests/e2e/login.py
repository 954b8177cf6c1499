"""Who is served: one read, by a client that logs in with SASL DIGEST-MD5, or by one that does not.

    login.py HOST:PORT [USER PASSWORD]

Prints `served`, or `refused` and what kazoo has to say: `SessionClosedRequireSaslError` without a
login, the loss of its connection after a wrong one. A server that cannot be reached is a failure.
"""

import logging
import sys

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException


def main(hosts, user=None, password=None):
    sasl = {"mechanism": "DIGEST-MD5", "username": user, "password": password} if user else None
    client = KazooClient(hosts, timeout=5, sasl_options=sasl, connection_retry={"max_tries": 2, "delay": 0.1})
    try:
        client.start(timeout=10)
        client.get("/")
        return "served"
    except KazooException as error:
        return f"refused {type(error).__name__}"
    finally:
        client.stop()
        client.close()


if __name__ == "__main__":
    # It tells of every refusal with a traceback.
    logging.disable(logging.CRITICAL)
    print(main(*sys.argv[1:]))
