@upload
Feature: Uploading codes
  A file with a code in the first column of each line is saved into a campaign. Codes that are new are inserted; those
  that are there get the type of the file and keep everything else.

  In the files below ⏎ is the end of a line, ␍ a carriage return, ␠ a space, ␉ a tab, ␀ a null byte and ⌦ a byte-order
  mark.

  @bucket @post-deploy
  Scenario: A file of the bucket is saved
    Given a campaign without codes
    And the bucket holds its tm file "code⏎A1⏎A2⏎A3⏎"
    When that file is uploaded
    Then the upload counts 3 rows: 3 inserted, 0 updated
    And the campaign has 3 available, 0 reserved and 0 assigned tm codes

  @bucket @post-deploy
  Scenario: The key of the file names the type of its codes
    Given a campaign without codes
    And the bucket holds its external file "A1⏎A2⏎"
    When that file is uploaded
    Then the upload counts 2 rows: 2 inserted, 0 updated
    And the campaign has 2 available, 0 reserved and 0 assigned external codes
    And the campaign has 0 available, 0 reserved and 0 assigned tm codes

  @bucket @post-deploy
  Scenario Outline: Files are read as people make them: <what>
    Given a campaign without codes
    And the bucket holds its tm file "<file>"
    When that file is uploaded
    Then the upload counts <rows> rows: <rows> inserted, 0 updated
    And the tm codes of the campaign are exactly <codes>

    Examples:
      | what                             | file                  | rows | codes         |
      | a header                         | code⏎A1⏎A2⏎           |    2 | A1 and A2     |
      | no header                        | A1⏎A2⏎                |    2 | A1 and A2     |
      | a header behind a mark           | ⌦code⏎A1⏎             |    1 | A1            |
      | a byte-order mark alone          | ⌦A1⏎A2⏎               |    2 | A1 and A2     |
      | more columns                     | A1,ignored⏎A2,x,y⏎A3⏎ |    3 | A1, A2 and A3 |
      | white space around codes         | ␠␠A1␠␠⏎␉A2⏎           |    2 | A1 and A2     |
      | empty lines                      | ⏎A1⏎⏎␠␠␠⏎A2⏎⏎         |    2 | A1 and A2     |
      | lines that end as on Windows     | code␍⏎A1␍⏎␍⏎A2        |    2 | A1 and A2     |
      | no end of the last line          | A1⏎A2                 |    2 | A1 and A2     |
      | quotes                           | "A1",x⏎"A2"⏎          |    2 | A1 and A2     |
      | "code" on another than the first | A1⏎code⏎              |    2 | A1 and code   |

  @post-deploy
  Scenario: A file comes in the request, without a bucket
    Given a campaign without codes
    When the tm file "⌦code␍⏎␠A1␠,ignored␍⏎␍⏎A2" is sent
    Then the upload counts 2 rows: 2 inserted, 0 updated
    And the tm codes of the campaign are exactly A1 and A2

  @post-deploy
  Scenario Outline: A file without a code saves nothing: <what>
    Given a campaign without codes
    When the tm file "<file>" is sent
    Then the upload counts 0 rows: 0 inserted, 0 updated
    And the campaign has 0 available, 0 reserved and 0 assigned tm codes

    Examples:
      | what          | file   |
      | empty         |        |
      | only a header | code␍⏎ |

  @post-deploy
  Scenario: A code that comes twice is saved once
    Given a campaign with the tm codes A1 and A2
    When the tm file "A1⏎A2⏎A3⏎A3⏎" is sent
    Then the upload counts 4 rows: 1 inserted, 3 updated
    And the campaign has 3 available, 0 reserved and 0 assigned tm codes

  @post-deploy
  Scenario: Rows that hold no code are listed, and the others saved
    Given a campaign without codes
    When the tm file "A1⏎B␀2⏎,x⏎Z9⏎" is sent
    Then the upload counts 4 rows: 2 inserted, 0 updated
    And the rows 2 and 3 are rejected, each with a reason
    And the tm codes of the campaign are exactly A1 and Z9

  @post-deploy
  Scenario: What is reserved or assigned survives another upload
    Given a campaign with the tm codes A1, A2 and A3
    And A1 has been assigned
    And 1 tm code has been reserved under the id "order"
    When the tm file "A1⏎A2⏎A3⏎" is sent
    Then the upload counts 3 rows: 0 inserted, 3 updated
    And the campaign has 1 available, 1 reserved and 1 assigned tm codes
    And the id "order" still holds its codes

  @post-deploy
  Scenario: Another upload changes the type of a code
    Given a campaign with the tm codes A1 and A2
    When the external file "A1⏎" is sent
    Then the upload counts 1 row: 0 inserted, 1 updated
    And the campaign has 1 available, 0 reserved and 0 assigned external codes
    And the campaign has 1 available, 0 reserved and 0 assigned tm codes

  @post-deploy
  Scenario: Two campaigns may have the same code
    Given a campaign with the tm codes A1
    And another campaign with the tm codes A1
    When A1 is assigned
    Then the campaign has 0 available, 0 reserved and 1 assigned tm codes
    And the other campaign has 1 available, 0 reserved and 0 assigned tm codes

  @post-deploy
  Scenario Outline: A file key of another form is refused: <key>
    Given a campaign without codes
    When an upload of the file key "<key>" is asked for
    Then it is refused with 404 "invalidFileKey"

    Examples: where {campaign} is the campaign of the path
      | key                        |
      |                            |
      | codes                      |
      | codes/{campaign}/tm        |
      | codes/{campaign}/tm/       |
      | codes/{campaign}//a.csv    |
      | codes/{campaign}/tm/a/b    |
      | codes/{campaign}/tm/..     |
      | files/{campaign}/tm/a.csv  |
      | /codes/{campaign}/tm/a.csv |

  @post-deploy
  Scenario: A file of another campaign is refused
    Given a campaign without codes
    And another campaign without codes
    When an upload of the file key "codes/{other campaign}/tm/a.csv" is asked for
    Then it is refused with 404 "invalidFileKey"

  @bucket @post-deploy
  Scenario: A file that is not in the bucket is refused
    Given a campaign without codes
    When an upload of the file key "codes/{campaign}/tm/nowhere.csv" is asked for
    Then it is refused with 404 "fileNotFound"

  @post-deploy
  Scenario Outline: A request without a file key is refused: <body>
    Given a campaign without codes
    When an upload is asked for with the body <body>
    Then it is refused with 404 "invalidFileKey"

    Examples:
      | body             |
      | {}               |
      | {"fileKey":null} |
      | {"fileKey":7}    |

  @post-deploy
  Scenario: A file key of a type that is not allowed is refused
    Given a campaign without codes
    When an upload of the file key "codes/{campaign}/vip/a.csv" is asked for
    Then it is refused with 400 "invalidType"

  @post-deploy
  Scenario: A file of a type that is not allowed is refused
    Given a campaign without codes
    When the vip file "A1⏎" is sent
    Then it is refused with 400 "invalidType"

  @post-deploy
  Scenario: A file without a type is refused
    Given a campaign without codes
    When the file "A1⏎" is sent without a type
    Then it is refused with 400 "missingType"
    And the campaign has 0 available, 0 reserved and 0 assigned tm codes

  @slow
  Scenario: A file of 20,000 codes is saved whole
    Given a campaign without codes
    When a tm file of 20000 codes is sent
    Then the upload counts 20000 rows: 20000 inserted, 0 updated
    And the campaign has 20000 available, 0 reserved and 0 assigned tm codes
