@update
Feature: Assigning and releasing codes
  An assigned code is given out for good. A released one is available again.

  Rule: Assigning is final

    @post-deploy
    Scenario: Codes are assigned, reserved or not
      Given a campaign with the tm codes A1 and A2
      And 2 tm codes have been reserved under the id "order"
      And it has the tm codes A3 and A4, too
      When A1 and A3 are assigned
      Then 2 codes came and 2 changed
      And the campaign has 1 available, 1 reserved and 2 assigned tm codes
      When 2 tm codes are reserved
      Then 1 of the codes A4 is given, under a new reserveId

    @post-deploy
    Scenario: A code that is assigned already does not count again
      Given a campaign with the tm codes A1 and A2
      And A1 has been assigned
      When A1 and A2 are assigned
      Then 2 codes came and 1 changed
      And the campaign has 0 available, 0 reserved and 2 assigned tm codes

    @post-deploy
    Scenario: A code that nobody knows does not count
      Given a campaign with the tm codes A1
      When A1 and X9 are assigned
      Then 2 codes came and 1 changed
      And the campaign has 0 available, 0 reserved and 1 assigned tm codes

    @post-deploy
    Scenario: An assigned code is never given again
      Given a campaign with the tm codes A1 and A2
      And A1 has been assigned
      When 2 tm codes are reserved
      Then 1 of the codes A2 is given, under a new reserveId

  Rule: Releasing gives reserved codes back

    @post-deploy
    Scenario: Released codes are available again
      Given a campaign with the tm codes A1, A2 and A3
      And 3 tm codes have been reserved under the id "order"
      When A1 and A2 are released
      Then 2 codes came and 2 changed
      And the campaign has 2 available, 1 reserved and 0 assigned tm codes
      When 3 tm codes are reserved
      Then 2 of the codes A1 and A2 are given, under a new reserveId

    @post-deploy
    Scenario: Releasing again changes nothing
      Given a campaign with the tm codes A1
      And 1 tm code has been reserved under the id "order"
      And A1 has been released
      When A1 is released
      Then 1 code came and 0 changed
      And the campaign has 1 available, 0 reserved and 0 assigned tm codes

    @post-deploy
    Scenario: An assigned code is never released
      Given a campaign with the tm codes A1 and A2
      And 2 tm codes have been reserved under the id "order"
      And A1 has been assigned
      When A1 and A2 are released
      Then 2 codes came and 1 changed
      And the campaign has 1 available, 0 reserved and 1 assigned tm codes

    @post-deploy
    Scenario: A code that nobody knows does not count
      Given a campaign with the tm codes A1
      When X9 is released
      Then 1 code came and 0 changed

  Rule: With a reserveId only codes that are held under it change

    @post-deploy
    Scenario: What others hold, and what nobody knows, comes back as lost: assign
      Given a campaign with the tm codes A1 and A2
      And 2 tm codes have been reserved under the id "order"
      And it has the tm codes B1 and B2, too
      And 1 tm code has been reserved under the id "of others"
      When A1, A2, B1, B2 and X9 are assigned under the id "order"
      Then 5 codes came and 2 changed, and B1, B2 and X9 are lost
      And the campaign has 1 available, 1 reserved and 2 assigned tm codes
      And the id "of others" still holds its codes

    @post-deploy
    Scenario: What others hold, and what nobody knows, comes back as lost: release
      Given a campaign with the tm codes A1 and A2
      And 2 tm codes have been reserved under the id "order"
      And it has the tm codes B1 and B2, too
      And 1 tm code has been reserved under the id "of others"
      When A1, A2, B1, B2 and X9 are released under the id "order"
      Then 5 codes came and 2 changed, and B1, B2 and X9 are lost
      And the campaign has 3 available, 1 reserved and 0 assigned tm codes
      And the id "of others" still holds its codes

    @post-deploy
    Scenario: The id that the service made will do
      Given a campaign with the tm codes A1 and A2
      And 2 tm codes have been reserved
      When A1 and A2 are assigned under that reserveId
      Then 2 codes came and 2 changed, and none is lost
      And the campaign has 0 available, 0 reserved and 2 assigned tm codes

    @expiry
    Scenario: Whose codes have expired and gone to another has lost them
      Given a campaign with the tm codes A1
      And 1 tm code has been reserved under the id "order"
      When reservations have expired
      And 1 tm code is reserved under the id "of others"
      And A1 is assigned under the id "order"
      Then 1 code came and 0 changed, and A1 is lost
      And the campaign has 0 assigned tm codes

  Rule: A request that makes no sense is refused

    @post-deploy
    Scenario Outline: Codes are missing or malformed: <verb> <body>
      Given a campaign with the tm codes A1
      And 1 tm code has been reserved under the id "order"
      When the body <body> is sent to <verb>
      Then it is refused with 400 "<word>"
      And the campaign has 0 available, 1 reserved and 0 assigned tm codes

      Examples:
        | verb    | body                           | word             |
        | assign  | {}                             | missingCodes     |
        | assign  | {"codes":null}                 | missingCodes     |
        | assign  | {"codes":"A1"}                 | invalidCodesProp |
        | assign  | {"codes":{"A1":true}}          | invalidCodesProp |
        | assign  | {"codes":[]}                   | emptyCodes       |
        | assign  | {"codes":["A1",1]}             | invalidCodesProp |
        | assign  | {"codes":["A1",null]}          | invalidCodesProp |
        | assign  | {"codes":["A1"]                | invalidBody      |
        | assign  | {"codes":["A1"],"reserveId":7} | invalid_argument |
        | release | {}                             | missingCodes     |
        | release | {"codes":null}                 | missingCodes     |
        | release | {"codes":"A1"}                 | invalidCodesProp |
        | release | {"codes":{"A1":true}}          | invalidCodesProp |
        | release | {"codes":[]}                   | emptyCodes       |
        | release | {"codes":["A1",1]}             | invalidCodesProp |
        | release | {"codes":["A1",null]}          | invalidCodesProp |
        | release | {"codes":["A1"]                | invalidBody      |
        | release | {"codes":["A1"],"reserveId":7} | invalid_argument |
