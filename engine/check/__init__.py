"""After stage 3: does the RGB show what the depth shows, from the sides that the names say?"""

from engine.check.refuse import refuse_contradictions

__all__ = ["refuse_contradictions"]
