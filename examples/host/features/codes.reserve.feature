@reserve
Feature: Reserving codes
  A caller takes codes out of a campaign for a while. Nobody else gets them meanwhile.

  @post-deploy
  Scenario: Codes are given with the id that they are held under
    Given a campaign with the tm codes A1, A2 and A3
    When 2 tm codes are reserved
    Then 2 of the codes A1, A2 and A3 are given, under a new reserveId
    And that reserveId holds exactly these codes
    And the campaign has 1 available, 2 reserved and 0 assigned tm codes

  @post-deploy
  Scenario: Who asks for more than there are gets those that are
    Given a campaign with the tm codes A1 and A2
    When 5 tm codes are reserved
    Then 2 of the codes A1 and A2 are given, under a new reserveId

  @post-deploy
  Scenario: Where nothing is left nothing is given
    Given a campaign with the tm codes A1
    And A1 has been assigned
    When 1 tm code is reserved
    Then no code is given

  @post-deploy
  Scenario: Only codes of the type are given
    Given a campaign with the tm codes A1 and A2
    And it has the external codes B1, too
    When 3 external codes are reserved
    Then 1 of the codes B1 is given, under a new reserveId
    And the campaign has 2 available, 0 reserved and 0 assigned tm codes

  @post-deploy
  Scenario: What one has reserved the next does not get
    Given a campaign with the tm codes A1, A2 and A3
    When 2 tm codes are reserved
    And 2 tm codes are reserved
    Then no code was given twice, and 3 were given
    And no two reservations have the same reserveId

  @post-deploy
  Scenario: Two callers at the same time never get the same code
    Given a campaign with 20 tm codes
    When 2 callers reserve 10 tm codes each at the same time
    Then each of them is given 10 codes
    And no code was given twice, and 20 were given
    And no two reservations have the same reserveId
    And the campaign has 0 available, 20 reserved and 0 assigned tm codes

  @slow
  Scenario: Nobody goes short while codes are available, however many ask
    Given a campaign with 2000 tm codes
    When 200 callers reserve 10 tm codes each at the same time
    Then each of them is given 10 codes
    And no code was given twice, and 2000 were given
    And no two reservations have the same reserveId
    And the campaign has 0 available, 2000 reserved and 0 assigned tm codes

  @post-deploy
  Scenario Outline: A request that makes no sense is refused: "<query>"
    Given a campaign with the tm codes A1
    When codes are reserved by "<query>"
    Then it is refused with 400 "<word>"
    And the campaign has 1 available, 0 reserved and 0 assigned tm codes

    Examples:
      | query             | word                     |
      |                   | missingCodeReserveParams |
      | ?count=1          | missingCodeReserveParams |
      | ?type=tm          | missingCodeReserveParams |
      | ?count=&type=tm   | missingCodeReserveParams |
      | ?count=0&type=tm  | invalidCount             |
      | ?count=-1&type=tm | invalidCount             |
      | ?count=.5&type=tm | invalidCount             |
      | ?count=1x&type=tm | invalidCount             |
      | ?count=1&type=vip | invalidType              |

  Rule: Under an id of the caller's own a reserve can be repeated

    @post-deploy
    Scenario: The first time codes are reserved
      Given a campaign with the tm codes A1, A2 and A3
      When 2 tm codes are reserved under the id "order"
      Then the reservation "order" is made: 2 of the tm codes A1, A2 and A3, until they expire
      And the campaign has 1 available, 2 reserved and 0 assigned tm codes

    @post-deploy
    Scenario: Again the same codes are given
      Given a campaign with the tm codes A1, A2, A3 and A4
      And 2 tm codes have been reserved under the id "order"
      When 2 tm codes are reserved under the id "order"
      Then the same reservation is given again: "order"
      And the campaign has 2 available, 2 reserved and 0 assigned tm codes

    @post-deploy
    Scenario: Also when it is repeated before it was answered
      Given a campaign with 10 tm codes
      When 3 callers reserve 2 tm codes each under the id "order" at the same time
      Then they are all given the same reservation, which one of them has made
      And the campaign has 8 available, 2 reserved and 0 assigned tm codes

    @post-deploy
    Scenario: All or nothing
      Given a campaign with the tm codes A1, A2 and A3
      When 4 tm codes are reserved under the id "order"
      Then it is refused with 409 "not_enough_codes"
      And the refusal says {"wanted":4,"available":3}
      And the campaign has 3 available, 0 reserved and 0 assigned tm codes

    @post-deploy
    Scenario: Fewer will do if the caller says so
      Given a campaign with the tm codes A1 and A2
      When 5 tm codes, or fewer, are reserved under the id "order"
      Then the reservation "order" is made: 2 of the tm codes A1 and A2, until they expire
      And the campaign has 0 available, 2 reserved and 0 assigned tm codes

    @post-deploy
    Scenario: The id of another count is refused
      Given a campaign with the tm codes A1, A2 and A3
      And 2 tm codes have been reserved under the id "order"
      When 1 tm code is reserved under the id "order"
      Then it is refused with 422 "reservation_mismatch"
      And the id "order" still holds its codes

    @post-deploy
    Scenario: The id of another type is refused
      Given a campaign with the tm codes A1
      And it has the external codes B1, too
      And 1 tm code has been reserved under the id "order"
      When 1 external code is reserved under the id "order"
      Then it is refused with 422 "reservation_mismatch"
      And the campaign has 1 available, 0 reserved and 0 assigned external codes

    @post-deploy
    Scenario: The id of another campaign is refused
      Given a campaign with the tm codes A1
      And another campaign with the tm codes B1
      And 1 tm code has been reserved under the id "order"
      When 1 tm code of the other campaign is reserved under the id "order"
      Then it is refused with 422 "reservation_mismatch"
      And the other campaign has 1 available, 0 reserved and 0 assigned tm codes

    @post-deploy
    Scenario: A reservation tells what has become of its codes
      Given a campaign with the tm codes A1 and A2
      And 2 tm codes have been reserved under the id "order"
      And A1 has been assigned
      When the reservation "order" is looked up
      Then it is the reservation "order", with A1 assigned and A2 reserved

    @post-deploy
    Scenario: A reservation that nobody made is not found
      Given a campaign with the tm codes A1
      When the reservation "order" is looked up
      Then it is refused with 404 "not_found"

    @post-deploy
    Scenario: A reservation is found in its own campaign only
      Given a campaign with the tm codes A1
      And another campaign without codes
      And 1 tm code has been reserved under the id "order"
      When the reservation "order" is looked up in the other campaign
      Then it is refused with 404 "not_found"

    @post-deploy
    Scenario Outline: A wish that makes no sense is refused: <body>
      Given a campaign with the tm codes A1
      When a reservation is asked for with the body <body>
      Then it is refused with 400 "<word>"
      And the campaign has 1 available, 0 reserved and 0 assigned tm codes

      Examples:
        | body                      | word                     |
        | {}                        | missingCodeReserveParams |
        | {"type":"tm"}             | missingCodeReserveParams |
        | {"count":1}               | missingCodeReserveParams |
        | {"type":"vip","count":1}  | invalidType              |
        | {"type":"tm","count":0}   | invalidCount             |
        | {"type":"tm","count":1.5} | invalidCount             |
        | {"type":"tm","count":"1"} | invalidCount             |
        | {"type":"tm","count":1    | invalidBody              |

    @post-deploy
    Scenario: A refusal names the field that is wrong
      Given a campaign with the tm codes A1
      When a reservation is asked for with the body {"type":"tm","count":1,"partial":"yes"}
      Then it is refused with 400 "invalid_argument"
      And the refusal says {"field":"partial"}

  @expiry
  Rule: A reservation ends by itself when its time is over

    Scenario: Expired codes are available again
      Given a campaign with the tm codes A1 and A2
      And 2 tm codes have been reserved under the id "order"
      When reservations have expired
      Then the campaign has 2 available, 0 reserved and 0 assigned tm codes
      When 2 tm codes are reserved
      Then 2 of the codes A1 and A2 are given, under a new reserveId

    Scenario: An id whose codes have expired is refused
      Given a campaign with the tm codes A1 and A2
      And 1 tm code has been reserved under the id "order"
      When reservations have expired
      And 1 tm code is reserved under the id "order"
      Then it is refused with 410 "reservation_expired"
      And the campaign has 2 available, 0 reserved and 0 assigned tm codes
