"""
Tests for L{upperproto.tls.undelivered}.
"""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from upperproto.interfaces import ISendQueue
from upperproto.tls.undelivered import MAX_MARKS, Records

# How much longer a record is than its text.
OVERHEAD = 22


@implementer(ISendQueue)
class Queue:
    """
    A transport that takes and delivers as much as a test says.

    @ivar unsent: bytes of records that it has.
    @ivar inKernel: bytes of records that have left it.
    """

    unsent = inKernel = 0

    def unsentBytes(self) -> int:
        """
        Tell what it has.
        """
        return self.unsent

    def unacknowledgedBytes(self) -> int:
        """
        Tell what has not been delivered.
        """
        return self.unsent + self.inKernel


class RecordsTests(SynchronousTestCase):
    """
    The text of a connection, and where it is.
    """

    def setUp(self) -> None:
        """
        Begin a connection.
        """
        self.queue = Queue()
        self.records = Records(self.queue)

    def send(self, size: int) -> None:
        """
        Send a piece of text.
        """
        self.records.written(size)
        self.records.encrypted(size)
        self.records.sent(size + OVERHEAD)
        self.queue.unsent += size + OVERHEAD

    def take(self, size: int) -> None:
        """
        Let the kernel take something.
        """
        self.queue.unsent -= size
        self.queue.inKernel += size

    def assertWaiting(self, unsent: int, unacknowledged: int) -> None:
        """
        Assert how much text waits.
        """
        self.assertEqual(self.records.unsentBytes(), unsent)
        self.assertEqual(self.records.unacknowledgedBytes(), unacknowledged)

    def test_nothing(self) -> None:
        """
        At first nothing waits.
        """
        self.assertWaiting(0, 0)

    def test_withoutText(self) -> None:
        """
        Session tickets and alerts carry no text, wherever they wait.
        """
        self.records.sent(300)
        self.queue.unsent = 300
        self.assertWaiting(0, 0)
        self.take(300)
        self.assertWaiting(0, 0)

    def test_wholeRecords(self) -> None:
        """
        A record of which a part has gone ahead waits; one that has gone does not.
        """
        self.send(100)
        self.send(50)
        self.assertWaiting(150, 150)
        self.take(100 + OVERHEAD - 1)
        self.assertEqual(self.records.unsentBytes(), 150)
        self.take(1)
        self.assertEqual(self.records.unsentBytes(), 50)

    def test_alertBehindText(self) -> None:
        """
        What waits behind the last text is none.
        """
        self.send(100)
        self.records.sent(24)
        self.queue.unsent += 24
        self.take(100 + OVERHEAD)
        self.assertEqual(self.records.unsentBytes(), 0)

    def test_inKernel(self) -> None:
        """
        What waits in the kernel is known to the byte, so that each byte that a client
        acknowledges is seen to move; what is left of a record is not more than that.
        """
        self.send(100)
        self.take(100 + OVERHEAD)
        self.assertWaiting(0, 100)
        self.queue.inKernel = 60
        self.assertWaiting(0, 60)
        self.queue.inKernel = 0
        self.assertWaiting(0, 0)

    def test_notEncrypted(self) -> None:
        """
        Text that waits for a handshake, or that nobody will get, is unsent.
        """
        self.records.written(100)
        self.records.written(10)
        self.assertWaiting(110, 110)
        self.records.encrypted(100)
        self.records.sent(122)
        self.assertWaiting(10, 10)

    def test_unknown(self) -> None:
        """
        A transport that does not tell what waits is taken to have sent all.
        """
        self.records = Records(object())
        self.send(100)
        self.assertWaiting(0, 0)

    def test_manyPieces(self) -> None:
        """
        However many small pieces wait, memory is bounded, never too little counts, and
        not much too much; what is not there does not count at all.
        """
        random = Random(5000)
        # Where each record ends, and how much text is in it.
        records: list[tuple[int, int]] = []
        end = 0
        for _ in range(5 * MAX_MARKS):
            size = random.randrange(1, 300)
            self.send(size)
            end += size + OVERHEAD
            records.append((end, size))
            self.take(random.randrange(min(self.queue.unsent, 200)))
            taken = end - self.queue.unsent
            unsent = sum(size for end, size in records if end > taken)
            self.assertGreaterEqual(self.records.unsentBytes(), unsent)
            near = unsent + self.queue.unacknowledgedBytes() // 32 + 300
            self.assertLessEqual(self.records.unsentBytes(), near)
            self.assertLessEqual(len(self.records._marks), MAX_MARKS + 1)
        self.take(self.queue.unsent)
        self.queue.inKernel = 0
        self.assertWaiting(0, 0)

    def test_manyPiecesThatArrive(self) -> None:
        """
        While little waits, how much is known exactly after any number of pieces.
        """
        for _ in range(3 * MAX_MARKS):
            self.send(10)
            self.take(self.queue.unsent)
            self.queue.inKernel = 0
        self.send(100)
        self.send(200)
        self.take(100 + OVERHEAD)
        self.assertEqual(self.records.unsentBytes(), 200)
