@count @post-deploy
Feature: Counting codes
  Every code of a campaign is available, reserved or assigned.

  Scenario: All three statuses are counted
    Given a campaign with the tm codes A1, A2, A3, A4, A5 and A6
    And A1 has been assigned
    And 2 tm codes have been reserved under the id "order"
    When the tm codes are counted
    Then the count is exactly {"available":3,"reserved":2,"assigned":1}

  Scenario Outline: Only the status that is asked for is counted: <status>
    Given a campaign with the tm codes A1, A2, A3, A4, A5 and A6
    And A1 has been assigned
    And 2 tm codes have been reserved under the id "order"
    When the <status> tm codes are counted
    Then the count is exactly {"<status>":<number>}

    Examples:
      | status    | number |
      | available |      3 |
      | reserved  |      2 |
      | assigned  |      1 |

  Scenario: Only codes of the type are counted
    Given a campaign with the tm codes A1 and A2
    And it has the external codes B1, B2 and B3, too
    When the external codes are counted
    Then the count is exactly {"available":3,"reserved":0,"assigned":0}

  Scenario: Only codes of the campaign are counted
    Given a campaign with the tm codes A1 and A2
    And another campaign with the tm codes B1, B2 and B3
    When the tm codes are counted
    Then the count is exactly {"available":2,"reserved":0,"assigned":0}

  Scenario: A campaign that nobody knows has no codes
    Given a campaign without codes
    When the tm codes are counted
    Then the count is exactly {"available":0,"reserved":0,"assigned":0}

  Scenario Outline: A request that makes no sense is refused: "<query>"
    Given a campaign with the tm codes A1
    When codes are counted by "<query>"
    Then it is refused with 400 "<word>"

    Examples:
      | query                    | word          |
      |                          | missingType   |
      | ?type=                   | missingType   |
      | ?status=available        | missingType   |
      | ?type=vip                | invalidType   |
      | ?type=TM                 | invalidType   |
      | ?type=tm&status=free     | invalidStatus |
      | ?type=tm&status=Reserved | invalidStatus |
