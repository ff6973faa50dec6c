terraform {
  # The first that locks a state in S3 by a file beside it.
  required_version = ">= 1.10"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
  # There is no .terraform.lock.hcl: it wants the provider's hashes for every platform, which only the registry knows.
  # Where that can be reached, make it and check it in:
  #   terraform providers lock -platform=linux_amd64 -platform=linux_arm64 -platform=darwin_arm64

  # Whose bucket and key is told to `terraform init`, with -backend-config: one state for each environment. So is
  # use_lockfile, or two who apply at once would overwrite each other's state.
  backend "s3" {}
}

provider "aws" {
  region = var.region
  # Credentials of another account are refused before anything is done.
  allowed_account_ids = [var.account]
  default_tags {
    tags = {
      ProductCode   = "prd1541"
      InventoryCode = "vf-code-srvc"
      Environment   = var.environment
    }
  }
}
