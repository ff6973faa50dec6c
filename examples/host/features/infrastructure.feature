@infrastructure
Feature: What platform and callers rely on
  Probes, metrics, the envelope around every answer, correlation ids, and what is said about requests that lead nowhere.

  @post-deploy
  Scenario Outline: The probe is answered without a token: <path>
    When anybody asks GET <path>
    Then the answer is 200, without the envelope

    Examples:
      | path          |
      | /heartbeat    |
      | /v1/heartbeat |

  @post-deploy
  Scenario Outline: Prometheus is answered without a token: <path>
    When anybody asks GET <path>
    Then the answer is 200, without the envelope
    And it is text that Prometheus reads, with the metrics of the process

    Examples:
      | path        |
      | /metrics    |
      | /v1/metrics |

  @one-process
  Scenario: Requests are counted and timed by route, and never by campaign or code
    Only where a single process answers: each has metrics of its own.

    Given a campaign with the tm codes A1
    When the metrics are read
    And the tm codes are counted
    And codes are counted by "?type=vip"
    And the metrics are read again
    Then "GET" of "/:campaignId/codes/count" was counted and timed once more with 200 and once more with 400
    And the times are in the buckets 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 and +Inf
    And the name of the campaign is not in the metrics
    And there are fewer than 70 combinations of path, method and status

  @post-deploy
  Scenario: Every path is also served under /v1
    Given a campaign without codes
    Then each of these is answered under /v1:
      | method | path                                | body                    | answer             |
      | PUT    | /{campaign}/codes?type=tm           | A1                      |                200 |
      | PUT    | /{campaign}/codes?type=tm           | A2                      |                200 |
      | GET    | /{campaign}/reserve?count=1&type=tm |                         |                200 |
      | PUT    | /{campaign}/reservations/{campaign} | {"type":"tm","count":1} |                201 |
      | GET    | /{campaign}/reservations/{campaign} |                         |                200 |
      | POST   | /{campaign}/assign                  | {"codes":["A1"]}        |                200 |
      | POST   | /{campaign}/release                 | {"codes":["A1"]}        |                200 |
      | GET    | /{campaign}/codes/count?type=tm     |                         |                200 |
      | POST   | /{campaign}/codes                   | {"fileKey":"elsewhere"} | 404 invalidFileKey |

  @post-deploy
  Scenario: A success carries its data, the time in UTC and a correlation id
    Given a campaign with the tm codes A1
    When the tm codes are counted
    Then the answer is a success in the envelope

  Rule: A correlation id goes through

    @post-deploy
    Scenario Outline: The caller's own comes back: <what>
      Given a campaign without codes
      When a supreme user asks GET /{campaign}/codes/count?type=tm with the correlation id <id>
      Then the answer carries the correlation id <id>

      Examples:
        | what                    | id                              |
        | a word                  | "order-1"                       |
        | all kinds of characters | "!#$%&'()*+,-./:;<=>?@[]^_`{}~" |
        |          128 characters | of 128 characters               |

    @post-deploy
    Scenario Outline: One that is none is replaced: <what>
      Given a campaign without codes
      When a supreme user asks GET /{campaign}/codes/count?type=tm with the correlation id <id>
      Then the answer carries a new correlation id

      Examples:
        | what           | id                |
        | empty          | ""                |
        | with a space   | "order 1"         |
        | 129 characters | of 129 characters |

    @post-deploy
    Scenario: Without one each answer has its own
      Given a campaign without codes
      When the tm codes are counted
      And the tm codes are counted
      Then the answers carry different new correlation ids

    @post-deploy
    Scenario: A refusal carries it, too
      Given a campaign without codes
      When a supreme user asks GET /{campaign}/codes/count?type=vip with the correlation id "order-1"
      Then it is refused with 400 "invalidType"
      And the answer carries the correlation id "order-1"

    @post-deploy
    Scenario Outline: Also answers without the envelope carry it: <path>
      When anybody asks GET <path> with the correlation id "order-1"
      Then the header of the answer carries the correlation id "order-1"

      Examples:
        | path       |
        | /heartbeat |
        | /metrics   |

  Rule: Requests that lead nowhere are told so

    @post-deploy
    Scenario Outline: A path that is none is 404: <path>
      When a supreme user asks GET <path>
      Then it is refused with 404 "notFound"

      Examples:
        | path               |
        | /                  |
        | /nowhere           |
        | /v1                |
        | /nobody/codes/     |
        | /nobody/nowhere    |
        | /v2/nobody/reserve |

    @post-deploy
    Scenario Outline: A method that a path does not have is 405, and the right ones are named: <method> <path>
      When a supreme user asks <method> <path>
      Then it is refused with 405 "methodNotAllowed"
      And <allowed> are among the methods that are named

      Examples:
        | method | path                       | allowed      |
        | DELETE | /nobody/codes              | POST and PUT |
        | POST   | /nobody/reserve            | GET          |
        | GET    | /nobody/assign             | POST         |
        | PUT    | /nobody/release            | POST         |
        | POST   | /nobody/codes/count        | GET          |
        | DELETE | /nobody/reservations/order | GET and PUT  |
        | POST   | /heartbeat                 | GET          |
        | POST   | /metrics                   | GET          |

    @post-deploy
    Scenario Outline: A body that is not JSON is 400: <path>
      Given a campaign without codes
      When a supreme user sends the body {garbage to POST <path>
      Then it is refused with 400 "invalidBody"

      Examples:
        | path                |
        | /{campaign}/codes   |
        | /{campaign}/assign  |
        | /{campaign}/release |

    @slow
    Scenario: A body over the limit is 413
      The limit is 16 MiB unless it is configured otherwise.

      Given a campaign with the tm codes A1
      When a supreme user sends a body of 17 MiB to POST /{campaign}/assign
      Then it is refused with 413 "bodyTooLarge"

    @openapi @post-deploy
    Scenario: The API describes itself
      When anybody asks GET /openapi.json
      Then the answer is an OpenAPI document with these paths:
        | /{campaignId}/codes                    |
        | /{campaignId}/codes/count              |
        | /{campaignId}/reserve                  |
        | /{campaignId}/assign                   |
        | /{campaignId}/release                  |
        | /{campaignId}/reservations/{reserveId} |
        | /heartbeat                             |
        | /metrics                               |

  Rule: Paths for development are there where they are switched on, and nowhere else

    @dev
    Scenario: A caller is told who it is
      Given a token for "me" who is supreme
      When its owner asks GET /dev/auth
      Then the claims are those of "me", who is supreme

    @dev
    Scenario Outline: A supreme user is told that it is one: <path>
      When a supreme user asks GET <path>
      Then the data is exactly {"isSupreme":true}

      Examples:
        | path             |
        | /dev/supremes    |
        | /v1/dev/supremes |

    @dev
    Scenario: A failure on purpose
      When a supreme user asks GET /dev/internalServerError
      Then it is refused with 500 "internalServerError"

    @dev
    Scenario: A token is made for whoever asks
      Given a token for "me" who is not supreme
      When its owner asks GET /dev/auth
      Then the claims are those of "me", who is not supreme

    @dev
    Scenario Outline: No token is made for nobody: <body>
      When anybody sends the body <body> to POST /dev/token
      Then it is refused with 400 "invalid_argument"

      Examples:
        | body                              |
        | {}                                |
        | {"userId":"me"}                   |
        | {"userId":1,"isSupreme":true}     |
        | {"userId":"me","isSupreme":"yes"} |

    @dev-off @post-deploy
    Scenario Outline: Where they are switched off they are not there: <method> <path>
      When a supreme user asks <method> <path>
      Then it is refused with 404 "notFound"

      Examples:
        | method | path                     |
        | GET    | /dev/auth                |
        | GET    | /dev/supremes            |
        | GET    | /dev/internalServerError |
        | POST   | /dev/token               |
        | GET    | /v1/dev/auth             |
