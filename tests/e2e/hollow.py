"""A node without a machine: its pods are Ready and their servers answer, and none of them costs anything.

    hollow.py --api http://127.0.0.1:PORT --network 10.208.128.0

For measuring an operator that looks after more ensembles than this machine has room for. The
objects are all real: only the kubelet is missing, and the servers are this one process, which
answers `GET /member` for each of three members of each cluster as a member of a healthy ensemble
does. Pods are named `<cluster>-<number>-<ordinal>`; their addresses are counted from --network on,
and have to lead to this machine already. Runs until SIGTERM.
"""

import argparse
import asyncio
import datetime
import ipaddress
import json
import threading
import time
import http.client
import urllib.parse

NODE = "hollow"
MEMBERS = 3
ADMIN_PORT = 8080


class Api:
    """The API server behind `kubectl proxy`, over one connection."""

    def __init__(self, url):
        self.address = urllib.parse.urlsplit(url).netloc
        self.connection = http.client.HTTPConnection(self.address, timeout=60)

    def call(self, method, path, body=None, kind="application/json"):
        headers = {"Content-Type": kind}
        text = None if body is None else json.dumps(body)
        self.connection.request(method, path, text, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status >= 400 and answer.status not in (404, 409):
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]}")
        return answer.status, json.loads(content)

    def patch(self, path, body):
        return self.call("PATCH", path, body, "application/merge-patch+json")


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def second():
    return now().strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(name):
    return {"type": name, "status": "True", "lastTransitionTime": second()}


class Node:
    """The Node object, and the Lease by which it lives."""

    def __init__(self, api):
        self.api = api
        taints = [{"key": "hollow", "effect": "NoSchedule"}]
        node = {"kind": "Node", "apiVersion": "v1", "metadata": {"name": NODE}, "spec": {"taints": taints}}
        api.call("POST", "/api/v1/nodes", node)
        self.tell()
        lease = {
            "kind": "Lease",
            "apiVersion": "coordination.k8s.io/v1",
            "metadata": {"name": NODE, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": NODE, "leaseDurationSeconds": 40, "renewTime": self.micro()},
        }
        api.call("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", lease)

    def micro(self):
        return now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def tell(self):
        room = {"pods": "100000", "cpu": "1000", "memory": "1Ti", "ephemeral-storage": "1Ti"}
        ready = condition("Ready") | {"lastHeartbeatTime": second(), "reason": "Hollow", "message": "no machine"}
        status = {"capacity": room, "allocatable": room, "conditions": [ready]}
        self.api.patch(f"/api/v1/nodes/{NODE}/status", {"status": status})

    def live(self):
        path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{NODE}"
        self.api.patch(path, {"spec": {"renewTime": self.micro()}})


class Pods:
    """Makes every pod of the node run, as far as anybody can tell."""

    def __init__(self, api, network):
        self.api, self.network = api, network

    def run_new_ones(self):
        # From the API server's memory, where pods are found by their node.
        query = f"fieldSelector=spec.nodeName%3D{NODE},status.phase%3DPending&resourceVersion=0"
        _, pods = self.api.call("GET", f"/api/v1/pods?{query}")
        for pod in pods["items"]:
            name = pod["metadata"]["name"]
            _, number, ordinal = name.rsplit("-", 2)
            self.run(name, str(self.network + int(number) * MEMBERS + int(ordinal)), pod)

    def run(self, name, address, pod):
        conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
        running = [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "hollow",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": second()}},
            }
            for container in pod["spec"]["containers"]
        ]
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": second(),
            "conditions": [condition(name) for name in conditions],
            "containerStatuses": running,
        }
        namespace = pod["metadata"]["namespace"]
        self.api.patch(f"/api/v1/namespaces/{namespace}/pods/{name}/status", {"status": status})


class Members:
    """`GET /member` of all of them."""

    def __init__(self, network):
        self.network = network
        self.asked = 0

    def report(self, index):
        number, ordinal = divmod(index, MEMBERS)
        host = f"idle-{number}-%d.idle-{number}-headless.default.svc.cluster.local"
        config = [f"server.{n + 1}={host % n}:2888:3888:participant;0.0.0.0:2181" for n in range(MEMBERS)]
        learners = [{"id": n + 1, "role": "participant", "synced": True} for n in range(1, MEMBERS)]
        return {
            "serverId": ordinal + 1,
            "state": "leading" if ordinal == 0 else "following",
            "role": "participant",
            "serving": True,
            "leaderId": 1,
            "version": "3.9.5-0.1.0",
            # Members that nobody writes to still have sessions that come and go.
            "lastZxid": hex(0x1_0000_0000 + int(time.time())),
            "currentEpoch": 1,
            "acceptedEpoch": 1,
            "configVersion": "0x100000000",
            "config": "\n".join([*config, "version=100000000"]),
            "clusterId": None,
            "voters": [n + 1 for n in range(MEMBERS)],
            "learners": learners if ordinal == 0 else [],
            "connections": 0,
            "fault": None,
        }

    async def answer(self, reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            address = ipaddress.ip_address(writer.get_extra_info("sockname")[0])
            body = json.dumps(self.report(int(address) - int(self.network))).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
            self.asked += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def serve(self):
        server = await asyncio.start_server(self.answer, "0.0.0.0", ADMIN_PORT, backlog=1024)
        async with server:
            await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--api", required=True)
    parser.add_argument("--network", required=True, type=ipaddress.ip_address)
    arguments = parser.parse_args()
    node = Node(Api(arguments.api))
    pods = Pods(Api(arguments.api), arguments.network)
    members = Members(arguments.network)

    def repeat(seconds, work):
        while True:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - a busy API server is asked again
                print(f"{type(error).__name__} {error}", flush=True)
            time.sleep(seconds)

    for seconds, work in [(5, node.live), (0.5, pods.run_new_ones)]:
        threading.Thread(target=repeat, args=(seconds, work), daemon=True).start()
    asyncio.run(members.serve())


if __name__ == "__main__":
    main()
