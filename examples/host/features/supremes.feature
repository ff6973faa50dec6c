@supremes
Feature: Who may call
  Codes are for supreme users only: their token says so, is signed by the right key and has not expired.

  Background:
    Given a campaign with the tm codes A1, A2, A3 and A4
    And 1 tm code has been reserved under the id "order"

  @post-deploy
  Scenario: A supreme user is let in everywhere
    When a supreme user tries every call about codes
    Then every call is let in

  @anonymous @post-deploy
  Scenario: Who brings no token is no supreme user
    When a caller without a token tries every call about codes
    Then every call is refused with 403 "supremeUserRequired"
    And the campaign has 3 available, 1 reserved and 0 assigned tm codes
    And the id "order" still holds its codes

  @anonymous-off @post-deploy
  Scenario: Where anonymous callers are not allowed, who brings no token is not let in
    When a caller without a token tries every call about codes
    Then every call is refused with 401 "unauthorized"
    And the campaign has 3 available, 1 reserved and 0 assigned tm codes
    And the id "order" still holds its codes

  @post-deploy
  Scenario: A user who is not supreme
    When a user who is not supreme tries every call about codes
    Then every call is refused with 403 "supremeUserRequired"
    And the campaign has 3 available, 1 reserved and 0 assigned tm codes
    And the id "order" still holds its codes

  @post-deploy
  Scenario Outline: A token that is not valid, which anybody can make: <token>
    When a caller with a token that <token> tries every call about codes
    Then every call is refused with 401 "unauthorized"
    And the campaign has 3 available, 1 reserved and 0 assigned tm codes
    And the id "order" still holds its codes

    Examples:
      | token                          |
      | is garbage                     |
      | is empty                       |
      | is signed by another key       |
      | is not signed                  |
      | is signed with a shared secret |
      | was made supreme after signing |

  @signing
  Scenario Outline: A token that is not valid, though the right key has signed it: <token>
    When a caller with a token that <token> tries every call about codes
    Then every call is refused with 401 "unauthorized"
    And the campaign has 3 available, 1 reserved and 0 assigned tm codes
    And the id "order" still holds its codes

    Examples:
      | token                                     |
      | expired an hour ago                       |
      | expired a second ago                      |
      | is signed with the public key as a secret |
      | never expires                             |
      | is not valid yet                          |
      | is of another issuer                      |
      | is of no issuer                           |
      | is signed by another RSA algorithm        |

  @signing
  Scenario Outline: A claim that only looks like it: <token>
    When a caller with a token that <token> tries every call about codes
    Then every call is refused with 403 "supremeUserRequired"
    And the campaign has 3 available, 1 reserved and 0 assigned tm codes
    And the id "order" still holds its codes

    Examples:
      | token                     |
      | says isSupreme "true"     |
      | says isSupreme 1          |
      | does not speak of supreme |

  @signing
  Scenario: Whom a token is for does not matter
    When a caller with a token that is for another audience tries every call about codes
    Then every call is let in

  @post-deploy
  Scenario: Who may not call is told so before the request is looked at
    When a user who is not supreme asks GET /{campaign}/reserve?count=0
    Then it is refused with 403 "supremeUserRequired"

  @dev
  Scenario: The supreme path of development is for supreme users only
    When a user who is not supreme asks GET /dev/supremes
    Then it is refused with 403 "supremeUserRequired"

  @dev @anonymous
  Scenario: An anonymous caller is told that it is one
    When a caller without a token asks GET /dev/auth
    Then the claims are those of "anonymous", who is not supreme
