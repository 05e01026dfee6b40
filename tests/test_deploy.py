"""
What C{deploy/} says to Kubernetes, to Docker Compose and to who builds an image.
"""

from __future__ import annotations

import os
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from twisted.trial.unittest import SynchronousTestCase

from upperproto.processes.supervisor import GRACE
from upperproto.tap import Options

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"

# The oldest version of Kubernetes that still had support somewhere in 2026, and all
# that have come since.
VERSIONS = [f"1.{minor}" for minor in range(30, 38)]


def load(name: str) -> Any:
    """
    Read a file of C{deploy/}.
    """
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def manifests() -> dict[str, Any]:
    """
    What the kustomize base has, by kind.
    """
    names = load("kubernetes/kustomization.yaml")["resources"]
    found = [load(f"kubernetes/{name}") for name in names]
    return {each["kind"]: each for each in found}


def version() -> str:
    """
    The version of this tree.
    """
    text = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    [found] = re.findall(r"^version = (.*)$", text, re.MULTILINE)
    return str(found)


def optionsFrom(test: SynchronousTestCase, variables: dict[str, str]) -> Options:
    """
    Parse the variables of a container, each of which has to be that of an option.
    """
    options = Options()
    known = {
        f"UPPER_{each.rstrip('=').upper().replace('-', '_')}": each
        for each in options.longOpt
    }
    words = []
    for variable, value in variables.items():
        test.assertIn(variable, known)
        name = known[variable]
        if name.endswith("="):
            words.append(f"--{name}{value}")
        else:
            test.assertEqual(value, "1")
            words.append(f"--{name}")
    options.parseOptions(words)
    return options


class KubernetesTests(SynchronousTestCase):
    """
    The kustomize base in C{deploy/kubernetes}.
    """

    def setUp(self) -> None:
        """
        Read it.
        """
        self.manifests = manifests()
        self.pod = self.manifests["Deployment"]["spec"]["template"]
        [self.container] = self.pod["spec"]["containers"]
        self.variables = {
            each["name"]: each["value"]
            for each in self.container["env"]
            if "value" in each
        }

    def test_complete(self) -> None:
        """
        It has every file of its folder, and what an operator expects.
        """
        base = load("kubernetes/kustomization.yaml")
        self.assertEqual(
            {*base["resources"], "kustomization.yaml"},
            {each.name for each in (DEPLOY / "kubernetes").iterdir()},
        )
        self.assertEqual(
            set(self.manifests),
            {
                "Deployment",
                "HorizontalPodAutoscaler",
                "PodDisruptionBudget",
                "Service",
            },
        )

    def test_schemas(self) -> None:
        """
        Each version of Kubernetes knows all that it says.
        """
        for version in VERSIONS:
            for manifest in self.manifests.values():
                validated = kubernetes_validate.validate(manifest, version, strict=True)
                self.assertEqual(validated, version)

    def test_schemasRefuse(self) -> None:
        """
        The schemas notice a name that is misspelt and a number that is text.
        """
        for wrong in ({"replica": 2}, {"replicas": "2"}):
            manifest = deepcopy(self.manifests["Deployment"])
            manifest["spec"].update(wrong)
            for version in VERSIONS:
                with self.assertRaises(kubernetes_validate.ValidationError):
                    kubernetes_validate.validate(manifest, version, strict=True)

    def test_selectors(self) -> None:
        """
        Whatever selects pods selects these.
        """
        labels = self.pod["metadata"]["labels"]
        [spread] = self.pod["spec"]["topologySpreadConstraints"]
        for selector in (
            self.manifests["Deployment"]["spec"]["selector"]["matchLabels"],
            self.manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
            self.manifests["Service"]["spec"]["selector"],
            spread["labelSelector"]["matchLabels"],
        ):
            self.assertEqual(selector, labels)
        target = self.manifests["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
        deployment = self.manifests["Deployment"]
        self.assertEqual(
            target,
            {
                "apiVersion": deployment["apiVersion"],
                "kind": "Deployment",
                "name": deployment["metadata"]["name"],
            },
        )

    def test_replicas(self) -> None:
        """
        There are two at least, and one may go at a time.
        """
        self.assertEqual(self.manifests["Deployment"]["spec"]["replicas"], 2)
        scaler = self.manifests["HorizontalPodAutoscaler"]["spec"]
        self.assertEqual(scaler["minReplicas"], 2)
        budget = self.manifests["PodDisruptionBudget"]["spec"]
        self.assertEqual(budget["maxUnavailable"], 1)
        # Of what is asked for, the autoscaler counts the part.
        self.assertIn("cpu", self.container["resources"]["requests"])

    def test_restricted(self) -> None:
        """
        It asks for no more than the Pod Security Standard "restricted" allows.
        """
        spec, ours = self.pod["spec"], self.container["securityContext"]
        self.assertTrue(spec["securityContext"]["runAsNonRoot"])
        self.assertGreater(spec["securityContext"]["runAsUser"], 0)
        self.assertEqual(
            spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"}
        )
        self.assertIs(ours["allowPrivilegeEscalation"], False)
        self.assertEqual(ours["capabilities"], {"drop": ["ALL"]})
        self.assertTrue(ours["readOnlyRootFilesystem"])
        self.assertEqual({"hostNetwork", "hostPID", "hostIPC"} & set(spec), set())
        self.assertNotIn("volumes", spec)
        for port in self.container["ports"]:
            self.assertNotIn("hostPort", port)

    def test_options(self) -> None:
        """
        The variables are those of options. A Service sets no others: one of these would
        be C{UPPER_PORT}.
        """
        optionsFrom(self, self.variables)
        self.assertIs(self.pod["spec"]["enableServiceLinks"], False)
        self.assertEqual(self.variables["UPPER_NAME"], "auto")
        [field] = [
            each["valueFrom"] for each in self.container["env"] if "value" not in each
        ]
        self.assertEqual(field, {"fieldRef": {"fieldPath": "metadata.name"}})

    def test_grace(self) -> None:
        """
        Before Kubernetes kills a pod, its drain is over, which begins when the probe
        has had time to notice.
        """
        options = optionsFrom(self, self.variables)
        grace = self.pod["spec"]["terminationGracePeriodSeconds"]
        self.assertGreater(grace, options["ready-delay"] + options["drain"] + GRACE)
        probe = self.container["readinessProbe"]
        self.assertEqual(probe["httpGet"], {"path": "/readyz", "port": "status"})
        noticed = probe["periodSeconds"] * probe["failureThreshold"]
        self.assertGreater(options["ready-delay"], 2 * noticed)

    def test_ports(self) -> None:
        """
        The probes ask where the status is, on an address that the kubelet reaches, and
        the Service leads to where the service listens.
        """
        ports = {
            each["name"]: each["containerPort"] for each in self.container["ports"]
        }
        self.assertEqual(self.variables["UPPER_STATUS"], f"tcp:{ports['status']}")
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            self.assertEqual(self.container[probe]["httpGet"]["port"], "status")
        [port] = self.manifests["Service"]["spec"]["ports"]
        self.assertEqual(port["targetPort"], "upper")
        self.assertEqual(ports["upper"], Options()["port"])

    def test_image(self) -> None:
        """
        The image is that of this version.
        """
        self.assertEqual(self.container["image"], f"upperproto:{version()}")


class ContainerfileTests(SynchronousTestCase):
    """
    C{deploy/Containerfile}.
    """

    def setUp(self) -> None:
        """
        Read it, without its comments and with its lines joined.
        """
        text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
        self.text = re.sub(r" *\\\n *", " ", re.sub("(?m)^#.*\n", "", text))

    def test_user(self) -> None:
        """
        It ends as a numeric user who is the one of the manifests, and not root.
        """
        [user] = re.findall(r"^USER (\d+):\1$", self.text, re.MULTILINE)
        pod = manifests()["Deployment"]["spec"]["template"]["spec"]
        self.assertEqual(int(user), pod["securityContext"]["runAsUser"])
        self.assertEqual(int(user), pod["securityContext"]["runAsGroup"])

    def test_commands(self) -> None:
        """
        What runs gets signals itself, without a shell.
        """
        self.assertTrue(self.text.endswith('\nENTRYPOINT ["upper"]\n'))
        self.assertRegex(self.text, r'\nHEALTHCHECK [^\n]* CMD \["python3", ')

    def test_options(self) -> None:
        """
        The variables are those of options; it listens on every address, and its status
        is for itself.
        """
        variables = dict(re.findall(r"(UPPER_\w+)=(\S+)", self.text))
        options = optionsFrom(self, variables)
        self.assertEqual(options["interface"], "0.0.0.0")
        self.assertTrue(variables["UPPER_STATUS"].isdecimal())

    def test_sources(self) -> None:
        """
        It copies files and folders that are there.
        """
        for copied in re.findall(r"^COPY (?!--from)(.*)$", self.text, re.MULTILINE):
            for name in copied.split()[:-1]:
                self.assertTrue((ROOT / name).exists(), name)


class ComposeTests(SynchronousTestCase):
    """
    C{deploy/docker-compose.yml}.
    """

    def setUp(self) -> None:
        """
        Read it, and what HAProxy is told.
        """
        self.compose = load("docker-compose.yml")
        self.upper = self.compose["services"]["upper"]
        self.haproxy = self.compose["services"]["haproxy"]
        self.configuration = (DEPLOY / "haproxy.cfg").read_text(encoding="utf-8")

    def test_files(self) -> None:
        """
        What it builds and mounts is there, and the image is that of this version.
        """
        build = self.upper["build"]
        self.assertTrue((DEPLOY / build["context"] / build["dockerfile"]).is_file())
        self.assertEqual(self.upper["image"], f"upperproto:{version()}")
        for volume in self.haproxy["volumes"]:
            self.assertTrue((DEPLOY / volume.split(":")[0]).is_file(), volume)

    def test_options(self) -> None:
        """
        The variables are those of options. Only HAProxy is believed, and the drain is
        over before the container is killed.
        """
        options = optionsFrom(self, self.upper["environment"])
        address = self.haproxy["networks"]["default"]["ipv4_address"]
        self.assertTrue(options["proxy-protocol"])
        self.assertEqual(options["proxy-from"], [address])
        grace = self.upper["stop_grace_period"]
        self.assertGreater(
            int(grace.removesuffix("s")),
            options["ready-delay"] + options["drain"] + GRACE,
        )

    def test_haproxy(self) -> None:
        """
        HAProxy asks where the status is, and finds the servers by the name of their
        service.
        """
        [port] = re.findall(r"check port (\d+)", self.configuration)
        self.assertEqual(self.upper["environment"]["UPPER_STATUS"], f"tcp:{port}")
        self.assertIn(f" upper:{Options()['port']} ", self.configuration)
        [inside] = re.findall(r"bind :(\d+)", self.configuration)
        [published] = self.haproxy["ports"]
        self.assertTrue(published.endswith(f":{inside}"))


class ReleaseTests(SynchronousTestCase):
    """
    C{.github/workflows/release.yml}.
    """

    def setUp(self) -> None:
        """
        Read it.
        """
        path = ROOT / ".github/workflows/release.yml"
        self.jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]

    def commands(self, job: str) -> str:
        """
        What a job runs.
        """
        return "\n".join(each.get("run", "") for each in self.jobs[job]["steps"])

    def test_order(self) -> None:
        """
        Nothing is released that was not checked, as a whole, and built.
        """
        self.assertEqual(self.jobs["release"]["needs"], ["check", "build"])
        self.assertIn(".ci/run", self.commands("check").split("\n"))
        self.assertTrue(os.access(ROOT / ".ci/run", os.X_OK))
        self.assertIn("python -m build", self.commands("build"))

    def test_rights(self) -> None:
        """
        Only the job that attests may write, and it runs nothing of the sources.
        """
        self.assertEqual(
            [name for name, job in self.jobs.items() if "permissions" in job],
            ["release"],
        )
        uses = [each.get("uses", "") for each in self.jobs["release"]["steps"]]
        self.assertFalse(any("checkout" in each for each in uses))
        self.assertTrue(any("attest-build-provenance" in each for each in uses))

    def test_place(self) -> None:
        """
        It says where the project lives, by the name that C{setup.py} reads.
        """
        variables = [each.get("env", {}) for each in self.jobs["build"]["steps"]]
        [name] = [name for each in variables for name in each]
        text = (ROOT / "setup.py").read_text(encoding="utf-8")
        self.assertIn(f'os.environ.get("{name}"', text)
