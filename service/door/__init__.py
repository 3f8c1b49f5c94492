"""The front door: who may come in, how fast a request must be there, and when we are full.

Whatever is wrong with bytes on a socket ends here; the rest of the service sees whole requests.
"""

from service.door.admission import Admission
from service.door.limits import Limits, room_for
from service.door.protocol import FrontDoor

__all__ = ["Admission", "FrontDoor", "Limits", "room_for"]
